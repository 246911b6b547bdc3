package archtest

import (
	"go/ast"
	"go/parser"
	"go/printer"
	"go/token"
	"path/filepath"
	"strings"
	"testing"
)

// TestClocks_TimesOfRedisAreNotComparedWithOurs: leases, expiry and the rate go by the clock of Redis, so that
// it does not matter how far a worker's or a producer's is off. Intervals of our own are fine.
func TestClocks_TimesOfRedisAreNotComparedWithOurs(t *testing.T) {
	t.Parallel()
	fields := map[string]bool{}
	for _, dir := range []string{"tasks", "internal/opstore"} {
		eachFile(t, dir, func(_ string, _ *token.FileSet, f *ast.File) { timeFields(f, fields) })
	}
	for _, want := range []string{"Expires", "ExpiresAt", "LeaseEnds", "Next", "Now"} {
		if !fields[want] {
			t.Errorf("no field %s holds a time of Redis any more, and the rule about it would hold of nothing", want)
		}
	}
	allowed := map[string]bool{
		// What they are refused for is nonsense alone: see clockSlack.
		"worker/process.go: time.Until(req.Expires)": true,
		// asynq dates its tasks by the clocks of its processes, and shows how long they have been pending.
		"internal/taskqueue/prepare.go: time.Now().UnixNano()": true,
	}
	for _, dir := range []string{"tasks", "enqueue", "worker", "internal/opstore", "internal/taskqueue", "internal/doorbell", "internal/gate"} {
		eachFile(t, dir, func(name string, set *token.FileSet, f *ast.File) {
			ast.Inspect(f, func(n ast.Node) bool {
				call, ok := n.(*ast.CallExpr)
				if !ok || !comparesOurClock(call, fields) {
					return true
				}
				var text strings.Builder
				if err := printer.Fprint(&text, set, call); err != nil {
					t.Fatal(err)
				}
				at := name + ": " + text.String()
				if !allowed[at] {
					t.Errorf("%s measures a time of Redis by this machine's clock", at)
				}
				delete(allowed, at)
				return true
			})
		})
	}
	for at := range allowed {
		t.Errorf("%s is allowed and is not there", at)
	}
}

// eachFile reads the files of a package, tests aside.
func eachFile(t testing.TB, dir string, look func(name string, set *token.FileSet, f *ast.File)) {
	t.Helper()
	files, err := filepath.Glob("../../" + dir + "/*.go")
	if err != nil || len(files) == 0 {
		t.Fatalf("there are no files in %s: %v", dir, err)
	}
	for _, path := range files {
		if strings.HasSuffix(path, "_test.go") {
			continue
		}
		set := token.NewFileSet()
		f, err := parser.ParseFile(set, path, nil, parser.SkipObjectResolution)
		if err != nil {
			t.Fatal(err)
		}
		look(dir+"/"+filepath.Base(path), set, f)
	}
}

// timeFields adds the names of exported struct fields that are a time.
func timeFields(f *ast.File, into map[string]bool) {
	ast.Inspect(f, func(n ast.Node) bool {
		s, ok := n.(*ast.StructType)
		if !ok {
			return true
		}
		for _, field := range s.Fields.List {
			typ := field.Type
			if p, ok := typ.(*ast.StarExpr); ok {
				typ = p.X
			}
			if !isTime(typ, "Time") {
				continue
			}
			for _, name := range field.Names {
				if name.IsExported() {
					into[name.Name] = true
				}
			}
		}
		return true
	})
}

// isTime reports whether e is one of the names of package time.
func isTime(e ast.Expr, names ...string) bool {
	s, ok := e.(*ast.SelectorExpr)
	if !ok {
		return false
	}
	p, ok := s.X.(*ast.Ident)
	for _, name := range names {
		if ok && p.Name == "time" && s.Sel.Name == name {
			return true
		}
	}
	return false
}

// comparesOurClock reports whether the call puts this machine's clock and a time of Redis together, or takes
// the time of day from this machine.
func comparesOurClock(call *ast.CallExpr, fields map[string]bool) bool {
	if isTime(call.Fun, "Since", "Until") {
		return ofRedis(call.Args, fields)
	}
	method, ok := call.Fun.(*ast.SelectorExpr)
	if !ok {
		return false
	}
	if isNow(method.X) {
		return strings.HasPrefix(method.Sel.Name, "Unix") || ofRedis(call.Args, fields)
	}
	for _, arg := range call.Args {
		if isNow(arg) && ofRedis([]ast.Expr{method.X}, fields) {
			return true
		}
	}
	return false
}

func isNow(e ast.Expr) bool {
	call, ok := e.(*ast.CallExpr)
	return ok && isTime(call.Fun, "Now")
}

// ofRedis reports whether one of the expressions names a field that holds a time of Redis.
func ofRedis(exprs []ast.Expr, fields map[string]bool) bool {
	found := false
	for _, e := range exprs {
		ast.Inspect(e, func(n ast.Node) bool {
			if s, ok := n.(*ast.SelectorExpr); ok && fields[s.Sel.Name] && !isTime(s, s.Sel.Name) {
				found = true
			}
			return !found
		})
	}
	return found
}
