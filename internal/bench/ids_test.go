package bench

import (
	"strings"
	"sync"
	"testing"
)

func TestIDs_EachCardHasItsOwn(t *testing.T) {
	t.Parallel()
	var s ids
	all := append(cards(true, 0, 300), cards(false, 0, 300)...)
	var done sync.WaitGroup
	for _, c := range all {
		done.Go(func() {
			if err := s.keep(c, "id-"+c.token()); err != nil {
				t.Error(err)
			}
		})
	}
	done.Wait()
	for _, c := range all {
		if got, want := s.get(c), "id-"+c.token(); got != want {
			t.Errorf("the id of %s is %q, want %q", c.token(), got, want)
		}
	}
}

func TestIDs_OneThatIsNotKnownOrTooLong(t *testing.T) {
	t.Parallel()
	var s ids
	if err := s.keep(card{n: 3}, strings.Repeat("x", len(idText{}.text)+1)); err == nil {
		t.Error("an id that there is no room for was kept")
	}
	if err := s.keep(card{n: 3}, strings.Repeat("x", len(idText{}.text))); err != nil {
		t.Errorf("keep: %v", err)
	}
	for _, c := range []card{{n: 2}, {n: 4}, {refresh: true, n: 3}} {
		if got := s.get(c); got != "" {
			t.Errorf("the id of %s is %q, want none", c.token(), got)
		}
	}
}
