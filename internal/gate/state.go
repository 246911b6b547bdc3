package gate

import (
	"fmt"
	"time"
)

// The keys share a hash tag: the scripts use several of them at once, also on Redis Cluster.
const (
	stateKey  = "cardworker:{gate}:state"
	windowKey = "cardworker:{gate}:window"
	probeKey  = "cardworker:{gate}:probe"
	rateKey   = "cardworker:{gate}:rate"
	channel   = "cardworker:gate"
)

// state is this process's copy of what the fleet shares. Times are by the local monotonic clock. The zero
// value lets everything through.
type state struct {
	open      bool
	openUntil time.Time // when the next probe may be made
	level     int       // how often in a row it opened
	holdUntil time.Time // the API asked to be left alone until then
}

// stateFrom makes times of Redis local ones. received is when the answer came: with it the copy errs on
// the late side. All numbers are milliseconds by the clock of Redis, 0 for none, but level.
func stateFrom(received time.Time, now, open, level, hold int64) state {
	at := func(ms int64) time.Time {
		if ms == 0 {
			return time.Time{}
		}
		return received.Add(time.Duration(ms-now) * time.Millisecond)
	}
	return state{open: open != 0, openUntil: at(open), level: int(level), holdUntil: at(hold)}
}

// parseState reads the answer of a script.
func parseState(v []int64, err error) (state, error) {
	if err == nil && len(v) != 4 {
		err = fmt.Errorf("unexpected reply of %d elements", len(v))
	}
	if err != nil {
		return state{}, fmt.Errorf("share the state of the gate: %w", err)
	}
	return stateFrom(time.Now(), v[0], v[1], v[2], v[3]), nil
}
