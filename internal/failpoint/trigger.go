package failpoint

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// trigger is what happens at a point, and which time.
type trigger struct {
	point  Point
	n      int64
	every  bool
	action string
}

func (t trigger) due(hit int64) bool { return hit == t.n || t.every && hit%t.n == 0 }

// parse reads the value of Env.
func parse(text string) ([]trigger, error) {
	var out []trigger
	for part := range strings.SplitSeq(text, ",") {
		if part == "" {
			continue
		}
		where, action, ok := strings.Cut(part, "=")
		point, hit, ok2 := strings.Cut(where, ":")
		n, every := strings.CutPrefix(hit, "*")
		t := trigger{point: Point(point), every: every, action: action}
		var err error
		t.n, err = strconv.ParseInt(n, 10, 64)
		switch {
		case !ok || !ok2 || err != nil || t.n < 1:
			return nil, fmt.Errorf("%s: %q is not like %s:3=kill or %[3]s:*3=panic", Env, part, AfterChain)
		case !slices.Contains(Points(), t.point):
			return nil, fmt.Errorf("%s: there is no point %q; there are %q", Env, point, Points())
		case !slices.Contains([]string{"kill", "stop", "panic"}, action):
			return nil, fmt.Errorf("%s: %q is none of kill, stop, panic", Env, action)
		}
		out = append(out, t)
	}
	return out, nil
}
