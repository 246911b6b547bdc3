package docstest

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/hibiken/asynq"
)

// unblockPIN asks for the PIN of a card to be unblocked. requestID is the caller's own name for this
// request, such as that of a tap on a button, and must not hold the token. Asking again with the same
// requestID is safe.
func unblockPIN(ctx context.Context, client *asynq.Client, publicToken, requestID string) error {
	payload, err := json.Marshal(map[string]any{
		"version":         1,
		"public_token":    publicToken,
		"idempotency_key": requestID,
		"reason":          "Cardholder verified in app",
		"updated_by":      "app-backend",
		"expires_at":      time.Now().Add(5 * time.Minute),
	})
	if err != nil {
		return err
	}
	_, err = client.EnqueueContext(ctx, asynq.NewTask("pin:unblock", payload),
		asynq.Queue("unblock"),
		asynq.TaskID(requestID),
		asynq.MaxRetry(25),
		asynq.Timeout(10*time.Minute),
		asynq.Retention(24*time.Hour), // keeps the result, which names the operation
	)
	if errors.Is(err, asynq.ErrTaskIDConflict) {
		return nil // It was enqueued before.
	}
	return err
}

// operationOf returns the id of the operation that a request became, or "" as long as no worker has
// begun it. The error says why a request was refused. One that was enqueued and is not found was deleted
// for a card number in it, unless its retention is over.
func operationOf(inspector *asynq.Inspector, requestID string) (string, error) {
	task, err := inspector.GetTaskInfo("unblock", requestID)
	if errors.Is(err, asynq.ErrTaskNotFound) {
		return "", fmt.Errorf("the request holds what looks like a card number, or is no longer kept: %w", err)
	}
	if err != nil {
		return "", err
	}
	if len(task.Result) == 0 {
		if task.State == asynq.TaskStateArchived {
			reason := strings.TrimSuffix(task.LastErr, ": "+asynq.SkipRetry.Error())
			return "", fmt.Errorf("the request was refused: %s", reason)
		}
		return "", nil
	}
	var result struct {
		OperationID string `json:"operation_id"`
	}
	if err := json.Unmarshal(task.Result, &result); err != nil {
		return "", err
	}
	return result.OperationID, nil
}
