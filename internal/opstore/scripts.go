package opstore

import (
	"embed"
	"regexp"
	"slices"

	"github.com/redis/go-redis/v9"
)

//go:embed scripts/*.lua
var scriptFiles embed.FS

var (
	acceptScript     = script("accept")
	acceptAllScript  = redis.NewScript(acceptAllText)
	beginScript      = script("begin")
	takeScript       = redis.NewScript(takeText)
	extendScript     = script("extend")
	yieldScript      = script("yield")
	chainScript      = script("chain")
	handoverScript   = script("handover")
	finishScript     = script("finish")
	dueScript        = script("due")
	postponeScript   = script("postpone")
	redispatchScript = script("redispatch")
	redriveScript    = script("redrive")
	reserveScript    = script("reserve")
	releaseScript    = script("release")
	settleScript     = script("settle")
	rebindScript     = script("rebind")
)

func script(name string) *redis.Script { return redis.NewScript(textOf(name)) }

// textOf returns the text of a script, behind what it uses of the prelude. Redis makes each function and each table anew
// whenever it runs the script, which costs about as much as a cheap command.
func textOf(name string) string {
	text := source(name)
	shared := append([]string{overdueForScripts()}, functionsOf(source("prelude"))...)
	for _, f := range slices.Backward(shared) { // Each uses at most those before it.
		if calls(text, nameOf(f)) {
			text = f + text
		}
	}
	return fieldsForScripts(text) + text
}

var luaFunction = regexp.MustCompile(`(?ms)^local function (\w+)\(.*?^end\n`)

// functionsOf returns the functions of a Lua text that are declared in its outermost block, in their order.
func functionsOf(text string) []string { return luaFunction.FindAllString(text, -1) }

// nameOf returns the name of such a function.
func nameOf(function string) string { return luaFunction.FindStringSubmatch(function)[1] }

// calls reports whether a Lua text calls a function.
func calls(text, name string) bool { return regexp.MustCompile(`\b` + name + `\(`).MatchString(text) }

// uses reports whether a Lua text has a name in it that is declared elsewhere.
func uses(text, name string) bool { return regexp.MustCompile(`\b` + name + `\b`).MatchString(text) }

func source(name string) string {
	b, err := scriptFiles.ReadFile("scripts/" + name + ".lua")
	if err != nil {
		panic(err) // The files are embedded: a missing one is a broken build.
	}
	return string(b)
}
