package bench

import (
	"maps"
	"slices"
	"testing"
)

// operationTakes are the round trips to Redis of one unblock that is alone in the system, from its acceptance
// to its end, by whose clients make them. A number that is exceeded is a defect; one that is no longer reached is
// to be made smaller here.
var operationTakes = map[string]float64{
	"backend":       1, // accept
	"worker":        2, // handover; finish
	"asynq-urgent":  1, // the look that takes the task and begins it
	"asynq-refresh": 0,
	"gate":          0, // what it shares it sends four times a second, if there is anything
}

// operationRuns is how many commands Redis runs for it, those in scripts included.
const operationRuns = 67

const (
	// tripsSlack is for what a worker does from time to time, as its share of one operation.
	tripsSlack = 0.4
	// runsSlack is the same for the commands in that.
	runsSlack = 4
	// tripsRounds are tries at finding the machine quick enough for that share to be small.
	tripsRounds = 3
)

func TestTrips_OfOneOperationDoNotGrow(t *testing.T) {
	t.Parallel()
	b := tinyBench(t)
	var wrong []string
	for range tripsRounds {
		got, err := b.countTrips(t.Context(), nameOurs, 40, alone)
		if err != nil {
			t.Fatal(err)
		}
		t.Logf("round trips %v, commands %v", got.roles, got.commands)
		if wrong = differs(got); len(wrong) == 0 {
			return
		}
	}
	for _, w := range wrong {
		t.Error(w)
	}
}

// differs lists what is not as operationTakes has it.
func differs(got counted) (wrong []string) {
	say := func(what string, got, want, slack float64) {
		switch {
		case got > want+slack:
			wrong = append(wrong, number(got)+" "+what+" for one operation, want no more than "+number(want))
		case got < want-slack:
			wrong = append(wrong, number(got)+" "+what+" for one operation, which is fewer than "+number(want)+": write that down, so that it stays")
		}
	}
	roles := maps.Clone(operationTakes)
	for role := range got.roles {
		roles[role] += 0 // also those that should not be there
	}
	for _, role := range slices.Sorted(maps.Keys(roles)) {
		say("round trips of "+role, got.roles[role], roles[role], tripsSlack)
	}
	say("commands", got.commands, operationRuns, runsSlack)
	return wrong
}

func TestSequence_ShowsTheCallsOfTheAPIBetweenThoseOfRedis(t *testing.T) {
	t.Parallel()
	b := tinyBench(t)
	steps, err := b.sequence(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	at := func(s Step) int {
		i := slices.Index(steps, s)
		if i < 0 {
			t.Fatalf("no step %+v in %+v", s, steps)
		}
		return i
	}
	accept, post := at(Step{"backend", "accept"}), at(Step{roleAPI, "POST unblock"})
	if get := at(Step{roleAPI, "GET status"}); accept > post || post > get {
		t.Errorf("steps %+v, want the acceptance before the unblock and the read after it", steps)
	}
	for _, s := range steps {
		if s.Does == "script" || s.Does == "" {
			t.Errorf("a step of %s has no name", s.Role)
		}
	}
}
