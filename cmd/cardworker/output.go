package main

import (
	"encoding/json"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/cardworker/cardworker/tasks"
)

// printer writes operations to stdout: one JSON object per line, or text for people.
type printer struct {
	out  io.Writer
	json bool
}

// outputFlag adds --output to a command.
func outputFlag(cmd *cobra.Command) *string {
	return cmd.Flags().StringP("output", "o", "text", "text, or json: one operation per line")
}

func newPrinter(p program, format string) (printer, error) {
	switch format {
	case "text", "json":
		return printer{p.stdout, format == "json"}, nil
	default:
		return printer{}, usagef("--output must be text or json")
	}
}

// operation writes one operation. v is what JSON shows: the operation, or more.
func (pr printer) operation(op tasks.Operation, v any) error {
	if pr.json {
		b, err := json.Marshal(v)
		if err != nil {
			return fmt.Errorf("write the operation: %w", err)
		}
		_, err = pr.out.Write(append(b, '\n'))
		return err
	}
	end := "  follow it with: cardworker operation watch " + op.ID
	if op.Done {
		end = ended(op)
	}
	_, err := fmt.Fprintln(pr.out, describe(op)+end)
	return err
}

// watching returns what writes an operation that is followed: as JSON at each change, as text when
// something has changed that the text shows.
func (pr printer) watching() func(op tasks.Operation) error {
	last := ""
	return func(op tasks.Operation) error {
		if pr.json {
			return pr.operation(op, op)
		}
		text := describe(op)
		switch {
		case op.Done:
			text += ended(op)
		case op.Attempts > 0:
			text += "  " + attempts(op.Attempts)
		}
		if text == last {
			return nil
		}
		last = text
		_, err := fmt.Fprintln(pr.out, text)
		return err
	}
}

// describe says in two lines where an operation stands. The second one has its id, and may go on.
func describe(op tasks.Operation) string {
	what := strings.ToUpper(string(op.Kind.Credential())) + " of card " + op.PublicToken
	var s string
	switch {
	case op.State == tasks.Succeeded && op.Kind.Unblocks():
		s = "unblocked  " + what + ", confirmed by reading it back" + tries(op.Status)
	case op.State == tasks.Succeeded:
		s = strings.ToLower(op.Status.Value) + "  " + what + tries(op.Status)
	case op.State == tasks.Failed:
		s = fmt.Sprintf("failed     %s: %s: %s", what, op.Error.Code, op.Error.Message)
	default:
		s = fmt.Sprintf("%-10s %s", op.State, what)
	}
	return s + "\n           " + op.ID
}

// ended says when an operation ended, and after what.
func ended(op tasks.Operation) string {
	return fmt.Sprintf("  %s  %s in %s", op.UpdatedAt.Local().Format(time.DateTime), attempts(op.Attempts), op.UpdatedAt.Sub(op.CreatedAt))
}

func tries(st *tasks.Status) string {
	if st == nil || st.RemainingTries == nil {
		return ""
	}
	if *st.RemainingTries == 1 {
		return ", 1 try left"
	}
	return fmt.Sprintf(", %d tries left", *st.RemainingTries)
}

func attempts(n int) string {
	if n == 1 {
		return "1 attempt"
	}
	return fmt.Sprintf("%d attempts", n)
}

// outcome returns the exit code of an operation that was read or waited for.
func outcome(op tasks.Operation) error {
	if op.State == tasks.Failed {
		return &exit{code: exitFailed}
	}
	return nil
}
