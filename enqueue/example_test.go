package enqueue_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log"
	"strings"
	"time"

	"github.com/hibiken/asynq"
	"github.com/redis/go-redis/v9"

	"github.com/cardworker/cardworker/enqueue"
	"github.com/cardworker/cardworker/internal/opstore"
	"github.com/cardworker/cardworker/internal/redisconn"
	"github.com/cardworker/cardworker/internal/taskqueue"
	"github.com/cardworker/cardworker/tasks"
)

// A backend has a cardholder's PIN unblocked, and tells the cardholder what came of it.
func ExampleClient_UnblockPIN() {
	rdb, stop := redisWithWorker(cardIsUnblocked)
	defer stop()

	client, err := enqueue.New(rdb, enqueue.Config{})
	if err != nil {
		log.Fatal(err)
	}
	defer client.Close()

	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	accepted, err := client.UnblockPIN(ctx, "103169946",
		enqueue.IdempotencyKey("tap-7f3a"), // The app's own id of the tap: a repeat is the same operation.
		enqueue.Reason("Cardholder verified in the app"),
		enqueue.UpdatedBy("app-backend"))
	if err != nil {
		log.Fatal(err) // Nothing was accepted. enqueue.CodeOf says why.
	}
	op, err := client.Wait(ctx, accepted.ID)
	if err != nil {
		log.Fatal(err) // The operation goes on; read it later with Get.
	}
	switch op.State {
	case tasks.Succeeded:
		fmt.Printf("%s %s, %d tries left\n", op.PublicToken, op.Status.Value, *op.Status.RemainingTries)
	case tasks.Failed:
		fmt.Println("failed:", op.Error.Code)
	}
	// Output:
	// ******946 Unblocked, 3 tries left
}

// What a refusal means is in its code; the text is for people.
func ExampleCodeOf() {
	rdb, stop := redisWithWorker(cardIsUnblocked)
	defer stop()
	client, err := enqueue.New(rdb, enqueue.Config{})
	if err != nil {
		log.Fatal(err)
	}
	defer client.Close()

	_, err = client.UnblockCVV(context.Background(), "4111 1111 1111 1111")
	fmt.Println(enqueue.CodeOf(err), errors.Is(err, enqueue.ErrInvalidPublicToken))
	fmt.Println(err)
	// Output:
	// invalid_public_token true
	// invalid public token: this looks like a card number, which must never be given; use the card's public token (1 to 9 letters or digits)
}

// A second request for a card whose operation is still open is told about that operation.
func ExampleAccepted_joined() {
	rdb, stop := redisWithWorker(nil) // No worker yet.
	defer stop()
	client, err := enqueue.New(rdb, enqueue.Config{})
	if err != nil {
		log.Fatal(err)
	}
	defer client.Close()

	ctx := context.Background()
	first, err := client.RefreshPINStatus(ctx, "103169946")
	if err != nil {
		log.Fatal(err)
	}
	second, err := client.RefreshPINStatus(ctx, "103169946")
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(first.Joined, second.Joined, first.ID == second.ID)
	// Output:
	// false true true
}

// Watch follows an operation through its states.
func ExampleClient_Watch() {
	step := make(chan struct{})
	rdb, stop := redisWithWorker(func(rec opstore.Record) opstore.Result {
		<-step
		return cardIsNotThere(rec)
	})
	defer stop()
	client, err := enqueue.New(rdb, enqueue.Config{})
	if err != nil {
		log.Fatal(err)
	}
	defer client.Close()

	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	accepted, err := client.RefreshCVVStatus(ctx, "103169946")
	if err != nil {
		log.Fatal(err)
	}
	shown := tasks.Accepted
	for op, err := range client.Watch(ctx, accepted.ID) {
		if err != nil {
			log.Fatal(err)
		}
		if op.State != shown {
			fmt.Println(op.State)
		}
		if shown = op.State; op.State == tasks.Running {
			close(step)
		}
	}
	op, err := client.Get(ctx, accepted.ID)
	if err != nil {
		log.Fatal(err)
	}
	text, err := json.Marshal(op.Error)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(string(text))
	// Output:
	// running
	// failed
	// {"code":"card_not_found","message":"the API does not know this public token for this client","retryable":false}
}

// redisWithWorker starts an embedded Redis, and a worker that asks no API: it ends operations as end
// says.
func redisWithWorker(end func(opstore.Record) opstore.Result) (rdb redis.UniversalClient, stop func()) {
	conn, err := redisconn.Open(redisconn.EmbeddedURL, redisconn.Options{})
	if err != nil {
		log.Fatal(err)
	}
	if end == nil {
		return conn.Client, func() { _ = conn.Close() }
	}
	queues := map[string]int{}
	for _, q := range tasks.Queues() {
		queues[q] = 1
	}
	server := asynq.NewServerFromRedisClient(conn.Client, asynq.Config{
		Concurrency: 2, Queues: queues, TaskCheckInterval: 5 * time.Millisecond, LogLevel: asynq.FatalLevel,
	})
	worker := fakeWorker{opstore.New(conn.Client, opstore.Config{}), taskqueue.New(conn.Client), end}
	if err := server.Start(asynq.HandlerFunc(worker.do)); err != nil {
		log.Fatal(err)
	}
	return conn.Client, func() {
		server.Shutdown()
		_ = conn.Close()
	}
}

type fakeWorker struct {
	store *opstore.Store
	queue *taskqueue.Client
	end   func(opstore.Record) opstore.Result
}

func (w fakeWorker) do(ctx context.Context, task *asynq.Task) error {
	t := tasks.Type(task.Type())
	p, err := tasks.DecodePayload(t, task.Payload())
	if err != nil {
		return err
	}
	b, err := w.store.Begin(ctx, t, p.OperationID, p.Seq, "fake", opstore.Lease{})
	if err != nil || b.Outcome != opstore.Go {
		return err
	}
	if strings.HasSuffix(task.Type(), ":unblock") {
		next, err := w.store.Chain(ctx, b.Lease, b.Record.Kind)
		if err != nil {
			return err
		}
		return w.queue.Enqueue(ctx, next.Type, next.Queue, next.ID, tasks.ByReference(p.OperationID, next.Seq))
	}
	_, err = w.store.Finish(ctx, b.Lease, b.Record, w.end(b.Record))
	return err
}

func cardIsUnblocked(opstore.Record) opstore.Result {
	three := 3
	return opstore.Result{Status: &tasks.Status{Value: "Unblocked", RemainingTries: &three}}
}

func cardIsNotThere(opstore.Record) opstore.Result {
	return opstore.Result{Error: &tasks.Error{
		Code: tasks.CodeCardNotFound, Message: "the API does not know this public token for this client",
	}}
}
