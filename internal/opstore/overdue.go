package opstore

import (
	"fmt"
	"strings"

	"github.com/cardworker/cardworker/tasks"
)

// Overdue returns why an operation has failed whose time was over before the next attempt, when the API has
// accepted nothing and nothing may have been applied unseen. last is the code of its newest failed attempt, or "".
func Overdue(last tasks.Code) *tasks.Error {
	if last == "" {
		return &tasks.Error{
			Code: tasks.CodeExpired, Message: "the operation expired before the API accepted anything",
			Retryable: tasks.CodeExpired.Retryable(),
		}
	}
	return &tasks.Error{
		Code: last, Message: "the operation expired; the last try failed with " + string(last), Retryable: last.Retryable(),
	}
}

// overdueForScripts declares the same in Lua, as the JSON that a record has: overdue(last code). It is a function,
// so that a script which does not need it does not make the table. What it does not know is of a newer release.
func overdueForScripts() string {
	var b strings.Builder
	for _, code := range append([]tasks.Code{""}, tasks.Codes()...) {
		fmt.Fprintf(&b, "  ['%s'] = '%s',\n", code, encodeJSON(Overdue(code)))
	}
	return "local function overdue(last)\n  local errors = {\n" + b.String() + "  }\n  return errors[last or ''] or errors['']\nend\n"
}
