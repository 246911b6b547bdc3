package opstore

import (
	"embed"

	"github.com/redis/go-redis/v9"
)

//go:embed scripts/*.lua
var scriptFiles embed.FS

var (
	acceptScript     = script("accept")
	beginScript      = script("begin")
	extendScript     = script("extend")
	yieldScript      = script("yield")
	chainScript      = script("chain")
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

// script returns the named script behind the shared prelude.
func script(name string) *redis.Script {
	return redis.NewScript(fieldsForScripts() + overdueForScripts() + source("prelude") + source(name))
}

func source(name string) string {
	b, err := scriptFiles.ReadFile("scripts/" + name + ".lua")
	if err != nil {
		panic(err) // The files are embedded: a missing one is a broken build.
	}
	return string(b)
}
