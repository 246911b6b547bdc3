package demo

import (
	"strings"
	"testing"

	"github.com/sirupsen/logrus"
)

func TestGate_PassesOnWithFieldsAndLevelOnceOpen(t *testing.T) {
	t.Parallel()
	var got screen
	out := logrus.New()
	out.SetOutput(&got)
	g := newGate(out)
	g.Error("too early")
	g.open()
	g.WithField("operation", "x").Warn("on time")
	g.Debug("for nobody: the level of the other logger counts")
	text := got.String()
	if strings.Contains(text, "early") || strings.Contains(text, "nobody") {
		t.Errorf("passed on too much: %s", text)
	}
	for _, want := range []string{"on time", "operation=x", "level=warning"} {
		if !strings.Contains(text, want) {
			t.Errorf("passed on %q, want %q in it", text, want)
		}
	}
}

func TestGate_WithoutAListenerIsSilent(t *testing.T) {
	t.Parallel()
	g := newGate(nil)
	g.open()
	g.Info("into the void")
}
