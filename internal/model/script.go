package model

import (
	"crypto/sha1" //nolint:gosec // Redis names its scripts by it.
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"sync"

	lua "github.com/yuin/gopher-lua"
	"github.com/yuin/gopher-lua/parse"
)

// compiled keeps each text that was ever run: a test runs the same few scripts millions of times.
var compiled sync.Map // text → *lua.FunctionProto

func compile(text string) (*lua.FunctionProto, error) {
	if p, ok := compiled.Load(text); ok {
		return p.(*lua.FunctionProto), nil
	}
	chunk, err := parse.Parse(strings.NewReader(text), "script")
	if err != nil {
		return nil, fmt.Errorf("ERR compile a script: %w", err)
	}
	proto, err := lua.Compile(chunk, "script")
	if err != nil {
		return nil, fmt.Errorf("ERR compile a script: %w", err)
	}
	compiled.Store(text, proto)
	return proto, nil
}

// digests keeps the names of the texts, for the same reason.
var digests sync.Map // text → digest

func digest(text string) string {
	if d, ok := digests.Load(text); ok {
		return d.(string)
	}
	sum := sha1.Sum([]byte(text)) //nolint:gosec // Redis names its scripts by it.
	d := hex.EncodeToString(sum[:])
	digests.Store(text, d)
	return d
}

// source returns the text of a script that was sent before, by its digest.
func (k *Keyspace) source(digest string) string {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.sources[digest]
}

// load keeps a script for those who name it by its digest, which it returns.
func (k *Keyspace) load(text string) string {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.sources[digest(text)] = text
	return digest(text)
}

// Eval runs a script as one step. It returns what [Keyspace.Do] does.
func (k *Keyspace) Eval(text string, keys, argv []string) (any, error) {
	sent := text
	if k.rewrite != nil {
		text = k.rewrite.Replace(text)
	}
	proto, err := compile(text)
	if err != nil {
		return nil, err
	}
	h, _ := hosts.Get().(*host)
	defer hosts.Put(h)
	k.mu.Lock()
	defer k.mu.Unlock()
	k.sources[digest(sent)] = sent
	return h.run(k, proto, keys, argv)
}

// host is a Lua state with the functions that Redis gives to scripts. Scripts keep nothing between runs,
// so a state serves any keyspace.
type host struct {
	state *lua.LState
	keys  *Keyspace
}

var hosts = sync.Pool{New: func() any { return newHost() }}

func newHost() *host {
	h := &host{state: lua.NewState()}
	h.state.SetGlobal("redis", h.state.SetFuncs(h.state.NewTable(), map[string]lua.LGFunction{
		"call": func(l *lua.LState) int {
			v, err := h.do(l)
			if err != nil {
				h.keys.failed = errors.Join(h.keys.failed, err) // Also when the script catches it.
				l.RaiseError("%s", err.Error())
			}
			l.Push(toLua(l, v))
			return 1
		},
		"pcall": func(l *lua.LState) int {
			v, err := h.do(l)
			if err != nil {
				t := l.NewTable()
				t.RawSetString("err", lua.LString(err.Error()))
				l.Push(t)
				return 1
			}
			l.Push(toLua(l, v))
			return 1
		},
		"error_reply": func(l *lua.LState) int {
			t := l.NewTable()
			t.RawSetString("err", l.Get(1))
			l.Push(t)
			return 1
		},
	}))
	h.state.SetGlobal("cjson", h.state.SetFuncs(h.state.NewTable(), map[string]lua.LGFunction{"decode": decode}))
	return h
}

func (h *host) run(k *Keyspace, proto *lua.FunctionProto, keys, argv []string) (any, error) {
	h.keys = k
	h.state.SetGlobal("KEYS", list(h.state, keys))
	h.state.SetGlobal("ARGV", list(h.state, argv))
	h.state.Push(h.state.NewFunctionFromProto(proto))
	if err := h.state.PCall(0, 1, nil); err != nil {
		err = fmt.Errorf("ERR run a script: %w", err)
		k.failed = errors.Join(k.failed, err)
		return nil, err
	}
	v := h.state.Get(-1)
	h.state.Pop(1)
	return fromLua(v)
}

func list(l *lua.LState, values []string) *lua.LTable {
	t := l.CreateTable(len(values), 0)
	for _, v := range values {
		t.Append(lua.LString(v))
	}
	return t
}

// do runs the command that a script has called.
func (h *host) do(l *lua.LState) (any, error) {
	args := make([]string, l.GetTop())
	for i := range args {
		switch v := l.Get(i + 1).(type) {
		case lua.LString:
			args[i] = string(v)
		case lua.LNumber:
			args[i] = strconv.FormatFloat(float64(v), 'f', -1, 64)
		default:
			return nil, fmt.Errorf("ERR Lua redis lib command arguments must be strings or integers, not %s", v.Type())
		}
	}
	return h.keys.do(args)
}

func toLua(l *lua.LState, v any) lua.LValue {
	switch v := v.(type) {
	case int64:
		return lua.LNumber(v)
	case string:
		return lua.LString(v)
	case []any:
		t := l.CreateTable(len(v), 0)
		for _, e := range v {
			t.Append(toLua(l, e))
		}
		return t
	default:
		return lua.LFalse
	}
}

func fromLua(v lua.LValue) (any, error) {
	switch v := v.(type) {
	case lua.LNumber:
		return int64(v), nil
	case lua.LString:
		return string(v), nil
	case lua.LBool:
		if v {
			return int64(1), nil
		}
		return nil, nil
	case *lua.LTable:
		if e, ok := v.RawGetString("err").(lua.LString); ok {
			return nil, errors.New(string(e))
		}
		out := make([]any, 0, v.Len())
		for i := 1; i <= v.Len(); i++ {
			e, err := fromLua(v.RawGetInt(i))
			if err != nil {
				return nil, err
			}
			out = append(out, e)
		}
		return out, nil
	default:
		return nil, nil
	}
}

// decode is cjson.decode for an object of plain values.
func decode(l *lua.LState) int {
	var fields map[string]any
	if err := json.Unmarshal([]byte(l.CheckString(1)), &fields); err != nil {
		l.RaiseError("%s", err.Error())
	}
	t := l.NewTable()
	for name, v := range fields {
		switch v := v.(type) {
		case string:
			t.RawSetString(name, lua.LString(v))
		case bool:
			t.RawSetString(name, lua.LBool(v))
		case float64:
			t.RawSetString(name, lua.LNumber(v))
		}
	}
	l.Push(t)
	return 1
}
