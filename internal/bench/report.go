package bench

import (
	"slices"
	"time"
)

// Report is all that a run measured.
type Report struct {
	At      time.Time `json:"at"`
	Took    float64   `json:"took_seconds"`
	Version string    `json:"version"`
	Quick   bool      `json:"quick"`
	Runs    int       `json:"runs"`
	Machine Machine   `json:"machine"`
	// Others is the largest share of the processors that other programs used between the measures.
	Others float64   `json:"others"`
	Series []*Series `json:"series"`
	// Steps are the round trips of one operation, in the order in which they ended.
	Steps []Step `json:"steps,omitempty"`
}

// Series is what one system did in one measure and setting: a value for each run.
type Series struct {
	Measure string    `json:"measure"`
	Setting string    `json:"setting"`
	System  string    `json:"system"`
	Figure  string    `json:"figure"`
	Values  []float64 `json:"values"`
}

// Step is one round trip to Redis, or one call of the API.
type Step struct {
	Role string `json:"role"`
	Does string `json:"does"`
}

// add adds the value of a run.
func (r *Report) add(measure, setting, system, figure string, v float64) {
	i := slices.IndexFunc(r.Series, func(s *Series) bool {
		return s.Measure == measure && s.Setting == setting && s.System == system && s.Figure == figure
	})
	if i < 0 {
		i = len(r.Series)
		r.Series = append(r.Series, &Series{Measure: measure, Setting: setting, System: system, Figure: figure})
	}
	r.Series[i].Values = append(r.Series[i].Values, v)
}

// values returns the values of a series, none if it was not measured.
func (r *Report) values(measure, setting, system, figure string) []float64 {
	for _, s := range r.Series {
		if s.Measure == measure && s.Setting == setting && s.System == system && s.Figure == figure {
			return s.Values
		}
	}
	return nil
}

// settings returns the settings of a measure in the order in which they were measured.
func (r *Report) settings(measure string) []string {
	var out []string
	for _, s := range r.Series {
		if s.Measure == measure && !slices.Contains(out, s.Setting) {
			out = append(out, s.Setting)
		}
	}
	return out
}

// bestStock returns, run by run, the higher of the figures of the two stock systems.
func (r *Report) bestStock(measure, setting, figure string) []float64 {
	return best(r.values(measure, setting, nameStock, figure), r.values(measure, setting, nameWide, figure))
}
