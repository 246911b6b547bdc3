package payblr_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"time"

	"github.com/cardworker/cardworker/payblr"
)

// bank stands in for the API and its token endpoint.
func bank() *httptest.Server {
	reply := func(body string) http.HandlerFunc {
		return func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, body) }
	}
	mux := http.NewServeMux()
	mux.Handle("POST /token", reply(`{"access_token":"abc","token_type":"Bearer","expires_in":3600}`))
	mux.HandleFunc("POST /thr/thredd/card-pin/{card}/pin/unblock", func(w http.ResponseWriter, r *http.Request) {
		if r.PathValue("card") == "999999999" {
			w.WriteHeader(http.StatusGatewayTimeout)
			return
		}
		w.WriteHeader(http.StatusNoContent)
	})
	mux.Handle("GET /thr/thredd/card-pin/{card}/pin/status", reply(`{"status":"Unblocked","remainingTries":"3"}`))
	return httptest.NewServer(mux)
}

// Unblock a PIN, then read the status: the first answer only says "accepted".
func Example() {
	api := bank()
	defer api.Close()

	client, err := payblr.New(payblr.Config{
		BaseURL:      api.URL,
		TokenURL:     api.URL + "/token",
		ClientID:     "client",
		ClientSecret: payblr.NewSecret("secret"),
		Scope:        "api://app/.default",
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer client.Close()

	// Nobody wants this card unblocked an hour from now.
	ctx := payblr.StartBefore(context.Background(), time.Now().Add(5*time.Minute))

	note := payblr.Note{Description: "Cardholder verified in app", UpdatedBy: "app-backend"}
	if err := client.UnblockPIN(ctx, "103169946", note); err != nil {
		fmt.Println(err)
		return
	}
	status, err := client.PINStatus(ctx, "103169946")
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(status.Value, *status.RemainingTries)
	// Output: Unblocked 3
}

// An unblock whose answer is lost may have been applied: read before repeating.
func ExampleError_MayHaveApplied() {
	api := bank()
	defer api.Close()
	client, err := payblr.New(payblr.Config{
		BaseURL:      api.URL,
		TokenURL:     api.URL + "/token",
		ClientID:     "client",
		ClientSecret: payblr.NewSecret("secret"),
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer client.Close()

	err = client.UnblockPIN(context.Background(), "999999999", payblr.Note{})
	if e, ok := errors.AsType[*payblr.Error](err); ok {
		fmt.Println(e.Class, e.Reason, e.MayHaveApplied())
	}
	// Output: unavailable gateway_timeout true
}
