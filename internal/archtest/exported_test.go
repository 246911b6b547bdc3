package archtest

import (
	"fmt"
	"go/importer"
	"go/token"
	"go/types"
	"io"
	"os"
	"strings"
	"testing"
)

const asynq = "github.com/hibiken/asynq"

// TestExported_NoAsynqType: the queue can be changed without a change for the backends, because
// nothing that they can name, receive or have to pass belongs to it.
func TestExported_NoAsynqType(t *testing.T) {
	t.Parallel()
	compiled := list(t, "-export", "-deps", "./tasks", "./enqueue")
	load := importer.ForCompiler(token.NewFileSet(), "gc", func(path string) (io.ReadCloser, error) {
		return os.Open(compiled[path].Export)
	})
	for _, name := range []string{"tasks", "enqueue"} {
		p, err := load.Import(module + "/" + name)
		if err != nil {
			t.Fatalf("load %s: %v", name, err)
		}
		s := surface{pkg: p, seen: make(map[types.Type]bool)}
		for _, object := range p.Scope().Names() {
			if o := p.Scope().Lookup(object); o.Exported() {
				s.walk(name+"."+object, o.Type())
			}
		}
		for _, found := range s.found {
			t.Error(found)
		}
		if len(s.seen) == 0 {
			t.Errorf("%s exports nothing, so nothing was checked", name)
		}
	}
}

// surface walks all that a user of pkg can reach from its exported names.
type surface struct {
	pkg   *types.Package
	seen  map[types.Type]bool
	found []string
}

func (s *surface) walk(where string, t types.Type) {
	if s.seen[t] {
		return
	}
	s.seen[t] = true
	switch t := t.(type) {
	case *types.Alias:
		s.name(where, t.Obj())
		s.walk(where, types.Unalias(t))
	case *types.Named:
		s.named(where, t)
	case *types.Pointer:
		s.walk(where, t.Elem())
	case *types.Slice:
		s.walk(where, t.Elem())
	case *types.Array:
		s.walk(where, t.Elem())
	case *types.Chan:
		s.walk(where, t.Elem())
	case *types.Map:
		s.walk(where, t.Key())
		s.walk(where, t.Elem())
	case *types.Signature:
		for v := range t.Params().Variables() {
			s.walk(where, v.Type())
		}
		for v := range t.Results().Variables() {
			s.walk(where, v.Type())
		}
	case *types.Struct:
		for field := range t.Fields() {
			if field.Exported() {
				s.walk(where+"."+field.Name(), field.Type())
			}
		}
	case *types.Interface:
		for method := range t.Methods() {
			s.walk(where+"."+method.Name(), method.Type())
		}
	}
}

// named checks whose type it is, and looks inside those of the package itself.
func (s *surface) named(where string, t *types.Named) {
	s.name(where, t.Obj())
	for arg := range t.TypeArgs().Types() {
		s.walk(where, arg)
	}
	if t.Obj().Pkg() != s.pkg {
		return
	}
	s.walk(where, t.Underlying())
	for method := range t.Methods() {
		if method.Exported() {
			s.walk(where+"."+method.Name(), method.Type())
		}
	}
}

func (s *surface) name(where string, o *types.TypeName) {
	if p := o.Pkg(); p != nil && (p.Path() == asynq || strings.HasPrefix(p.Path(), asynq+"/")) {
		s.found = append(s.found, fmt.Sprintf("%s exposes %s.%s", where, p.Name(), o.Name()))
	}
}
