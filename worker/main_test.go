package worker

import (
	"os"
	"testing"

	"github.com/cardworker/cardworker/internal/redistest"
)

func TestMain(m *testing.M) {
	if os.Getenv(childEnv) != "" {
		os.Exit(childMain()) // This process is the worker that a test kills.
	}
	redistest.Main(m)
}
