package audit

import (
	"fmt"
	"strings"

	"github.com/cardworker/cardworker/tasks"
)

// legalPath is I12: the events follow the state machine. Where an event alone does not tell which of two
// stages it led to, both are followed until another does.
func legalPath(_ Run, l life) string {
	if l.events == nil {
		return ""
	}
	at := []tasks.Stage{{}}
	names := make([]string, 0, len(l.events))
	for _, e := range l.events {
		names = append(names, e.Name)
		var next []tasks.Stage
		for _, s := range at {
			next = append(next, s.After(tasks.Event(e.Name))...)
		}
		if len(next) == 0 {
			return fmt.Sprintf("event %s is not legal when it is %s (%s)", e.Name, describeStages(at), strings.Join(names, " "))
		}
		if tasks.Event(e.Name) == tasks.EventUnblockAccepted && !l.kind.Unblocks() {
			return "a refresh was accepted as an unblock"
		}
		at = next
	}
	if s := at[0].State; l.known && s.Done() && s != l.final.State {
		return fmt.Sprintf("its events end as %s, but it is %s", s, l.final.State)
	}
	return ""
}

func describeStages(all []tasks.Stage) string {
	var names []string
	for _, s := range all {
		switch {
		case s == tasks.Stage{}:
			names = append(names, "unborn")
		case s.Phase == "":
			names = append(names, string(s.State))
		default:
			names = append(names, string(s.State)+" and "+string(s.Phase))
		}
	}
	return strings.Join(names, " or ")
}
