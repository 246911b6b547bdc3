package payblr

import "testing"

func TestReadProblem_UnionOfErrorBodies(t *testing.T) {
	t.Parallel()
	const trace, activity = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-00", "6f9619ff-8b86-d011-b42d-00cf4fc964ff"
	for body, want := range map[string]problem{
		`{"type":"u","title":"t","status":400,"traceId":"` + trace + `","errors":{"status":["no"]}}`:               {traceID: trace},
		`{"statusCode":500,"message":"Internal server error","activityId":"6F9619FF-8B86-D011-B42D-00CF4FC964FF"}`: {traceID: activity},
		`{"traceId":"4111111111111111","activityId":"` + activity + `"}`:                                           {traceID: activity},
		`{"traceId":{"a":1},"message":["x"]}`:                                                                      {},
		`{"statusCode":403,"message":"Out of call volume quota. Quota will be replenished in 00:01:00."}`:          {hint: hintQuota},
		`{"statusCode":401,"message":"Access denied due to missing subscription key. Make sure to include it."}`:   {hint: hintSubscriptionKey},
		"\xef\xbb\xbf" + `{"traceId":"` + trace + `"}`:                                                             {traceID: trace},
		`{"traceId":"` + trace + ` and more"}`:                                                                     {},
		`<html>Out of call volume quota</html>`:                                                                    {},
		`[]`:                                                                                                       {}, `null`: {}, ``: {}, `"quota"`: {},
	} {
		if got := readProblem([]byte(body)); got != want {
			t.Errorf("readProblem(%s) = %+v, want %+v", body, got, want)
		}
	}
}

// FuzzProblem: no error body makes the reader panic or pass on what has not the form.
func FuzzProblem(f *testing.F) {
	for _, s := range []string{
		`{"type":"u","title":"t","status":400,"traceId":"00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-00","errors":{"a":["b"]}}`,
		`{"statusCode":429,"message":"Rate limit is exceeded. Try again in 7 seconds."}`, `<html>`, ``, `null`,
	} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, raw []byte) {
		if p := readProblem(raw); p.traceID != "" && !traceIDForm.MatchString(p.traceID) {
			t.Errorf("trace id %q", p.traceID)
		}
	})
}
