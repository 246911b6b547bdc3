package docstest

import (
	"errors"
	"fmt"
	"reflect"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/cardworker/cardworker/enqueue"
	"github.com/cardworker/cardworker/payblr"
	"github.com/cardworker/cardworker/tasks"
)

func sorted[S ~string](in []S) []string {
	out := make([]string, len(in))
	for i, s := range in {
		out[i] = string(s)
	}
	slices.Sort(out)
	return out
}

// same compares what a table lists with what the code has.
func same(t testing.TB, what string, code, listed []string) {
	t.Helper()
	if diff := cmp.Diff(sorted(code), sorted(listed)); diff != "" {
		t.Errorf("%s: %s (-code +document):\n%s", contract, what, diff)
	}
}

func TestContract_ListsEveryKindTypeAndQueue(t *testing.T) {
	t.Parallel()
	tables := parse(read(t, contract)).under(t, "Kinds, tasks, queues")
	if len(tables) != 2 {
		t.Fatalf("%d tables of kinds, want 2: first tasks and follow-ups", len(tables))
	}
	var code, listed []string
	for _, k := range tasks.Kinds() {
		code = append(code, row(k, k.FirstType()))
		if confirm := k.ConfirmType(); confirm != "" {
			code = append(code, row(k, confirm))
		}
	}
	first, follow := tables[0], tables[1]
	for i, kind := range first.column(0) {
		listed = append(listed, kind+" "+first.column(2)[i]+" "+first.column(3)[i])
	}
	for i, kind := range follow.column(0) {
		listed = append(listed, kind+" "+follow.column(1)[i]+" "+follow.column(2)[i])
	}
	same(t, "kinds, types and queues", code, listed)
	if len(code) != len(tasks.Types()) {
		t.Errorf("%d types belong to kinds, there are %d", len(code), len(tasks.Types()))
	}
}

func row(k tasks.Kind, typ tasks.Type) string {
	return fmt.Sprintf("%s %s %s", k, typ, typ.Policy().Queue)
}

func TestContract_ListsEveryCodeAndWhetherItIsRetryable(t *testing.T) {
	t.Parallel()
	var code, listed []string
	for _, c := range tasks.Codes() {
		code = append(code, fmt.Sprintf("%s %s", c, map[bool]string{true: "yes", false: "no"}[c.Retryable()]))
	}
	tab := parse(read(t, contract)).under(t, "Codes")[0]
	for i, c := range tab.column(0) {
		listed = append(listed, c+" "+tab.rows[i][1])
	}
	same(t, "codes", code, listed)
}

func TestContract_ListsEveryState(t *testing.T) {
	t.Parallel()
	var code, listed []string
	for _, s := range tasks.States() {
		code = append(code, fmt.Sprintf("%s %s", s, map[bool]string{true: "yes", false: "no"}[s.Done()]))
	}
	tab := parse(read(t, contract)).under(t, "States")[0]
	for i, s := range tab.column(0) {
		listed = append(listed, s+" "+tab.rows[i][1])
	}
	same(t, "states", code, listed)
}

func TestContract_ListsEveryErrorOfAdmission(t *testing.T) {
	t.Parallel()
	var code []string
	for _, err := range []error{
		enqueue.ErrInvalidPublicToken, enqueue.ErrInvalidArgument, enqueue.ErrIdempotencyMismatch,
		enqueue.ErrUnblockLimitReached, enqueue.ErrQueueUnavailable, enqueue.ErrNotFound, enqueue.ErrNotFailed, enqueue.ErrBusy,
	} {
		code = append(code, enqueue.CodeOf(fmt.Errorf("wrapped: %w", errors.Join(err))))
	}
	same(t, "codes of errors", code, parse(read(t, contract)).under(t, "When a request is refused")[0].column(0))
}

func TestContract_ListsEveryFieldAndItsBounds(t *testing.T) {
	t.Parallel()
	doc := parse(read(t, contract))
	payload := doc.under(t, "Payload")[0]
	same(t, "fields of a payload", fields[tasks.Payload](), payload.column(0))
	for field, most := range map[string]int{
		"public_token": tasks.MaxPublicToken, "idempotency_key": tasks.MaxIdempotencyKey,
		"reason": tasks.MaxReason, "updated_by": tasks.MaxUpdatedBy,
	} {
		i := slices.Index(payload.column(0), field)
		if bound := payload.rows[i][3]; !slices.Contains(regexp.MustCompile(`\d+`).FindAllString(bound, -1), strconv.Itoa(most)) {
			t.Errorf("the bounds of %s are %q, which does not name %d", field, bound, most)
		}
	}
	if want := fmt.Sprintf("at most %d KiB", tasks.MaxPayload>>10); !strings.Contains(read(t, contract), want) {
		t.Errorf("%s does not say that a payload has %s", contract, want)
	}

	tables := doc.under(t, "Operation")
	if len(tables) != 3 {
		t.Fatalf("%d tables of fields, want 3: operation, status, error", len(tables))
	}
	same(t, "fields of an operation", fields[tasks.Operation](), tables[0].column(0))
	same(t, "fields of a status", fields[tasks.Status](), tables[1].column(0))
	same(t, "fields of an error", fields[tasks.Error](), tables[2].column(0))
}

// fields returns the names of a struct's JSON fields.
func fields[T any]() []string {
	var out []string
	for _, f := range reflect.VisibleFields(reflect.TypeFor[T]()) {
		name, _, _ := strings.Cut(f.Tag.Get("json"), ",")
		out = append(out, name)
	}
	return out
}

func TestArchitecture_SaysWhatBecomesOfEveryClassAndCode(t *testing.T) {
	t.Parallel()
	tab := parse(read(t, architecture)).under(t, "When something fails")[0]
	classes, codes := " ", " "
	for _, r := range tab.rows {
		classes += r[1] + " "
		codes += r[3] + " "
	}
	for c := payblr.ClassNone + 1; c.String() != "invalid_class"; c++ {
		if !strings.Contains(classes, "`"+c.String()+"`") {
			t.Errorf("%s: no failure of class %s", architecture, c)
		}
	}
	for _, c := range tasks.Codes() {
		if !strings.Contains(codes, "`"+string(c)+"`") {
			t.Errorf("%s: no failure ends with %s", architecture, c)
		}
	}
}

func TestDocuments_NameNoVariableThatDoesNotExist(t *testing.T) {
	t.Parallel()
	settings := read(t, "cmd/cardworker/settings.go")
	variable := regexp.MustCompile("`((?:ACCEPT|REDIS|PAYBLR|WORKER|UNBLOCK|REFRESH|RESULT|MONITOR|LOG)_[A-Z_]+)(?:=[^`]*)?`")
	seen := 0
	for _, name := range documents(t) {
		for _, m := range variable.FindAllStringSubmatch(read(t, name), -1) {
			seen++
			if !strings.Contains(settings, `env:"`+m[1]+`"`) {
				t.Errorf("%s names the variable %s, which nothing reads", name, m[1])
			}
		}
	}
	if seen < 10 {
		t.Errorf("only %d variables were found; are they read at all?", seen)
	}
}
