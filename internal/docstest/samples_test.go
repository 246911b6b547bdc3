package docstest

import (
	"bytes"
	"encoding/json"
	"errors"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/cardworker/cardworker/tasks"
)

func TestContract_SampleProgramIsTheOneThatRuns(t *testing.T) {
	t.Parallel()
	const file = "internal/docstest/producer_test.go"
	_, code, ok := strings.Cut(read(t, file), "package docstest\n\n")
	if !ok {
		t.Fatalf("%s does not begin with its package clause", file)
	}
	var samples []string
	for _, b := range parse(read(t, contract)).blocks {
		if b.info == "go" {
			samples = append(samples, b.text)
		}
	}
	if diff := cmp.Diff([]string{code}, samples); diff != "" {
		t.Errorf("the program in %s is not that of %s (-file +document):\n%s", contract, file, diff)
	}
}

// TestContract_SamplesAreWhatTheCodeReadsAndWrites: each block says after its fence what it is a sample of.
func TestContract_SamplesAreWhatTheCodeReadsAndWrites(t *testing.T) {
	t.Parallel()
	seen := map[string]int{}
	for _, b := range parse(read(t, contract)).blocks {
		what, ok := strings.CutPrefix(b.info, "json")
		if !ok {
			continue
		}
		what = strings.TrimSpace(what)
		seen[what]++
		var err error
		switch what {
		case "payload":
			err = samePayload(b.text)
		case "operation":
			err = sameOperation(b.text)
		case "result":
			var result struct {
				OperationID string `json:"operation_id"`
			}
			if err = strict(b.text, &result); err == nil && !tasks.ValidID(result.OperationID) {
				err = errors.New("its operation_id is none")
			}
		default:
			err = errors.New("nobody knows what it is a sample of")
		}
		if err != nil {
			t.Errorf("%s:%d: the sample of %q: %v", contract, b.line, what, err)
		}
	}
	if want := map[string]int{"payload": 2, "operation": 2, "result": 1}; !cmp.Equal(seen, want) {
		t.Errorf("samples are %v, want %v", seen, want)
	}
}

func samePayload(sample string) error {
	var p tasks.Payload
	if err := strict(sample, &p); err != nil {
		return err
	}
	if _, err := tasks.DecodePayload(tasks.TypeUnblockPIN, []byte(sample)); err != nil {
		return err
	}
	return sameJSON(sample, p)
}

func sameOperation(sample string) error {
	var op tasks.Operation
	if err := strict(sample, &op); err != nil {
		return err
	}
	switch {
	case !tasks.ValidID(op.ID):
		return errors.New("its id is none")
	case !op.Kind.Valid():
		return errors.New("its kind is none")
	case op.Done != op.State.Done():
		return errors.New("done and state disagree")
	case (op.Error != nil) != (op.State == tasks.Failed):
		return errors.New("error and state disagree")
	case op.Error != nil && op.Error.Retryable != op.Error.Code.Retryable():
		return errors.New("its code is retryable or not, against what it says")
	}
	return sameJSON(sample, op)
}

// strict decodes a sample that may have no field which the code does not know.
func strict(sample string, into any) error {
	dec := json.NewDecoder(strings.NewReader(sample))
	dec.DisallowUnknownFields()
	return dec.Decode(into)
}

// sameJSON returns an error unless v is written as the sample is, field for field and in its order.
func sameJSON(sample string, v any) error {
	written, err := json.Marshal(v)
	if err != nil {
		return err
	}
	var compact bytes.Buffer
	if err := json.Compact(&compact, []byte(sample)); err != nil {
		return err
	}
	if diff := cmp.Diff(string(written), compact.String()); diff != "" {
		return errors.New("it is written otherwise (-code +document):\n" + diff)
	}
	return nil
}
