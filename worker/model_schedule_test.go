package worker

import (
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/cardworker/cardworker/tasks"
)

// course is one way through a world: at each decision the number of the option that was taken. Option 0
// is the plain one, any other a fault or an unusual order.
type course struct {
	prefix []decision // what is prescribed; from there on the plain option is taken
	taken  []decision
	faults int // how many more decisions may be other than plain
}

type decision struct {
	option, options int
	label           string
}

// choose takes the next decision.
func (s *course) choose(t testing.TB, options []option) option {
	d := decision{options: len(options)}
	if s.faults == 0 {
		d.options = 1
	}
	n := len(s.taken)
	if n < len(s.prefix) {
		d.option = s.prefix[n].option
	}
	if d.option >= len(options) {
		t.Fatalf("a schedule cannot be repeated: decision %d has %d options, want %d\n%s", n, len(options), s.prefix[n].options, s)
	}
	if d.option > 0 {
		s.faults--
	}
	d.label = options[d.option].label
	if n < len(s.prefix)-1 && d.label != s.prefix[n].label {
		t.Fatalf("a schedule cannot be repeated: decision %d is %q, want %q\n%s", n, d.label, s.prefix[n].label, s)
	}
	s.taken = append(s.taken, d)
	return options[d.option]
}

func (s *course) String() string {
	var b strings.Builder
	for i, d := range s.taken {
		mark := " "
		if d.option > 0 {
			mark = "!"
		}
		fmt.Fprintf(&b, "  %3d %s %s\n", i, mark, d.label)
	}
	return b.String()
}

// patient is how long, by the world's clock, a world may take.
const patient = 20 * time.Minute

// play takes a world through a schedule and returns what was broken on the way.
func play(t *testing.T, sc scenario, s *course, cover func(tasks.Transition)) (broken []string) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, sc)
		defer w.close()
		begun := time.Now()
		tidy := 0
		for time.Since(begun) < patient {
			synctest.Wait()
			w.reap()
			w.read()
			options := w.options()
			if options == nil {
				// A moment of peace: recovery comes round. Two rounds after the end tidy up.
				if !w.open() && !w.asking() && len(w.wakes) == 0 {
					if tidy++; tidy > 2 {
						break
					}
				}
				w.peace()
				continue
			}
			s.choose(t, options).do()
			pass(time.Millisecond)
		}
		w.reap()
		broken = w.check(cover)
	})
	return broken
}
