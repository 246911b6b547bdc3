package worker

import "time"

// advance lets the time of a synctest bubble pass. No real time passes.
func advance(d time.Duration) { <-time.After(d) }
