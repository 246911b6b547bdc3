package deploytest

import (
	"go/version"
	"strings"
	"testing"
)

// instructions returns the lines of the Dockerfile as (instruction, arguments), continued lines joined.
func instructions(t testing.TB) [][2]string {
	t.Helper()
	var list [][2]string
	text := strings.ReplaceAll(read(t, "Dockerfile"), "\\\n", " ")
	for line := range strings.Lines(text) {
		line = strings.TrimSpace(line)
		if line == "" || strings.HasPrefix(line, "#") {
			continue
		}
		name, arguments, _ := strings.Cut(line, " ")
		list = append(list, [2]string{strings.ToUpper(name), strings.TrimSpace(arguments)})
	}
	return list
}

func TestDockerfile_SmallImageWithoutRoot(t *testing.T) {
	t.Parallel()
	var stages []string
	var user, entrypoint string
	for _, i := range instructions(t) {
		switch i[0] {
		case "FROM":
			stages = append(stages, strings.Fields(i[1])[0])
			user, entrypoint = "", ""
		case "USER":
			user = i[1]
		case "ENTRYPOINT":
			entrypoint = i[1]
		}
	}
	if len(stages) < 2 || stages[len(stages)-1] != "scratch" {
		t.Fatalf("stages = %v, want a build and then scratch", stages)
	}
	if !pinned.MatchString(stages[0]) {
		t.Errorf("the build image %s is not pinned", stages[0])
	}
	if uid, _, _ := strings.Cut(user, ":"); uid == "" || strings.Trim(uid, "0123456789") != "" || uid == "0" {
		t.Errorf("USER %s, want a number that is not 0: scratch has no names", user)
	}
	if got := service(t, load(t), "worker").User; got != user {
		t.Errorf("the compose file runs the image as %s, want its USER %s", got, user)
	}
	if entrypoint != `["/cardworker"]` {
		t.Errorf("ENTRYPOINT %s, want the exec form of /cardworker, so that it gets the signals", entrypoint)
	}
}

// TestDockerfile_BuildsWithAGoThatTheModuleTakes: GOTOOLCHAIN=local fails with an older one, but only when
// somebody builds an image.
func TestDockerfile_BuildsWithAGoThatTheModuleTakes(t *testing.T) {
	t.Parallel()
	var least string
	for line := range strings.Lines(read(t, "go.mod")) {
		if v, ok := strings.CutPrefix(line, "go "); ok {
			least = "go" + strings.TrimSpace(v)
		}
	}
	tag, _ := strings.CutPrefix(instructions(t)[0][1], "golang:")
	used, _, _ := strings.Cut(tag, "-")
	if !version.IsValid("go"+used) || version.Compare("go"+used, least) < 0 {
		t.Errorf("FROM golang:%s, want %s or newer as go.mod says", tag, least)
	}
}
