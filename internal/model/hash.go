package model

import "strconv"

func hget(k *Keyspace, a []string) (any, error) {
	if v, ok := peek[map[string]string](k, a[0])[a[1]]; ok {
		return v, nil
	}
	return nil, nil
}

func hmget(k *Keyspace, a []string) (any, error) {
	h := peek[map[string]string](k, a[0])
	out := make([]any, len(a)-1)
	for i, f := range a[1:] {
		if v, ok := h[f]; ok {
			out[i] = v
		}
	}
	return out, nil
}

func hgetall(k *Keyspace, a []string) (any, error) {
	h := peek[map[string]string](k, a[0])
	out := make([]any, 0, 2*len(h))
	for f, v := range h {
		out = append(out, f, v)
	}
	return out, nil
}

func hset(k *Keyspace, a []string) (any, error) {
	h := hold(k, a[0], map[string]string{})
	var n int64
	for i := 1; i+1 < len(a); i += 2 {
		if _, ok := h[a[i]]; !ok {
			n++
		}
		h[a[i]] = a[i+1]
	}
	return n, nil
}

func hdel(k *Keyspace, a []string) (any, error) {
	h := peek[map[string]string](k, a[0])
	var n int64
	for _, f := range a[1:] {
		if _, ok := h[f]; ok {
			delete(h, f)
			n++
		}
	}
	if h != nil && len(h) == 0 {
		k.remove(a[0])
	}
	return n, nil
}

func hincrby(k *Keyspace, a []string) (any, error) {
	h := hold(k, a[0], map[string]string{})
	by, err := number(a[2])
	if err != nil {
		return nil, err
	}
	n := by
	if v, ok := h[a[1]]; ok {
		old, err := number(v)
		if err != nil {
			return nil, err
		}
		n += old
	}
	h[a[1]] = strconv.FormatInt(n, 10)
	return n, nil
}
