package bench

import "time"

// size is how much of everything there is.
type size struct {
	// calibrate is how many chains tell how many there have to be for a drain to take about drain.
	calibrate, most int
	drain           time.Duration
	aofs            []string
	// idleOurs and idleStock are how many requests are made one at a time. Stock takes about half a second
	// for each.
	idleOurs, idleStock int
	idleGap             time.Duration
	// rates are those of the open loop, each for a while; nearRates hold on loopback only.
	rates, nearRates []int
	loop             time.Duration
	// idle is how long idle workers are looked at.
	idle time.Duration
	// backlog is how many refreshes wait while unblocks come at urgentRate for a while.
	backlog, urgentRate int
	urgent              time.Duration
	// trips is how many operations are counted.
	trips int
	// distant is the other distance of Redis.
	distant time.Duration
}

var fullSize = size{
	calibrate: 2000, most: 60_000, drain: 1500 * time.Millisecond, aofs: []string{"off", "everysec", "always"},
	idleOurs: 300, idleStock: 10, idleGap: 25 * time.Millisecond,
	rates: []int{100}, nearRates: []int{1000, 2000}, loop: 2 * time.Second,
	idle: 5 * time.Second, backlog: 100_000, urgentRate: 50, urgent: 5 * time.Second, trips: 200,
	distant: time.Millisecond,
}

var quickSize = size{
	calibrate: 400, most: 20_000, drain: 700 * time.Millisecond, aofs: []string{"off"},
	idleOurs: 80, idleStock: 8, idleGap: 10 * time.Millisecond,
	rates: []int{100}, loop: 1500 * time.Millisecond,
	idle: 5 * time.Second, backlog: 12_000, urgentRate: 40, urgent: 1200 * time.Millisecond, trips: 50,
	distant: time.Millisecond,
}
