package model

import (
	"cmp"
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
)

func zadd(k *Keyspace, a []string) (any, error) {
	rest, onlyOld := a[1:], false
	if strings.EqualFold(rest[0], "XX") {
		rest, onlyOld = rest[1:], true
	}
	if onlyOld && peek[zset](k, a[0]) == nil {
		return int64(0), nil
	}
	z := hold(k, a[0], zset{})
	var n int64
	for i := 0; i+1 < len(rest); i += 2 {
		score, err := strconv.ParseFloat(rest[i], 64)
		if err != nil {
			return nil, fmt.Errorf("ERR value is not a valid float: %q", rest[i])
		}
		_, old := z[rest[i+1]]
		if !old && onlyOld {
			continue
		}
		if !old {
			n++
		}
		z[rest[i+1]] = score
	}
	return n, nil
}

func zrem(k *Keyspace, a []string) (any, error) {
	z := peek[zset](k, a[0])
	var n int64
	for _, m := range a[1:] {
		if _, ok := z[m]; ok {
			delete(z, m)
			n++
		}
	}
	if z != nil && len(z) == 0 {
		k.remove(a[0])
	}
	return n, nil
}

func zcard(k *Keyspace, a []string) (any, error) { return int64(len(peek[zset](k, a[0]))), nil }

func zcount(k *Keyspace, a []string) (any, error) {
	members, err := between(k, a[0], a[1], a[2])
	return int64(len(members)), err
}

// zrangebyscore knows WITHSCORES and LIMIT.
func zrangebyscore(k *Keyspace, a []string) (any, error) {
	members, err := between(k, a[0], a[1], a[2])
	if err != nil {
		return nil, err
	}
	scores := false
	for i := 3; i < len(a); i++ {
		switch {
		case strings.EqualFold(a[i], "WITHSCORES"):
			scores = true
		case strings.EqualFold(a[i], "LIMIT") && i+2 < len(a):
			offset, err := number(a[i+1])
			if err != nil {
				return nil, err
			}
			count, err := number(a[i+2])
			if err != nil {
				return nil, err
			}
			members = members[min(int(offset), len(members)):]
			if count >= 0 {
				members = members[:min(int(count), len(members))]
			}
			i += 2
		default:
			return nil, fmt.Errorf("ERR syntax error at %q", a[i])
		}
	}
	z := peek[zset](k, a[0])
	out := make([]any, 0, len(members))
	for _, m := range members {
		out = append(out, m)
		if scores {
			out = append(out, strconv.FormatFloat(z[m], 'f', -1, 64))
		}
	}
	return out, nil
}

func zremrangebyscore(k *Keyspace, a []string) (any, error) {
	members, err := between(k, a[0], a[1], a[2])
	if err != nil || len(members) == 0 {
		return int64(0), err
	}
	return zrem(k, append([]string{a[0]}, members...))
}

// between returns the members whose scores lie between two bounds, by score and then by name.
func between(k *Keyspace, key, from, to string) ([]string, error) {
	low, lowOpen, err := bound(from)
	if err != nil {
		return nil, err
	}
	high, highOpen, err := bound(to)
	if err != nil {
		return nil, err
	}
	z := peek[zset](k, key)
	var out []string
	for m, s := range z {
		if s < low || s > high || (lowOpen && s == low) || (highOpen && s == high) {
			continue
		}
		out = append(out, m)
	}
	slices.SortFunc(out, func(a, b string) int { return cmp.Or(cmp.Compare(z[a], z[b]), cmp.Compare(a, b)) })
	return out, nil
}

func bound(s string) (v float64, open bool, err error) {
	s, open = strings.CutPrefix(s, "(")
	switch s {
	case "-inf":
		return math.Inf(-1), open, nil
	case "+inf":
		return math.Inf(1), open, nil
	}
	v, err = strconv.ParseFloat(s, 64)
	if err != nil {
		err = fmt.Errorf("ERR min or max is not a float: %q", s)
	}
	return v, open, err
}
