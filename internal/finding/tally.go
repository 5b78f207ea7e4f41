package finding

// Tally counts verdicts.
type Tally struct {
	Pass    int `json:"pass"`
	Fail    int `json:"fail"`
	Unknown int `json:"unknown"`
	Info    int `json:"info"`
}

// Add counts the verdicts of findings.
func (t *Tally) Add(findings []Finding) {
	for _, f := range findings {
		switch f.Verdict {
		case Pass:
			t.Pass++
		case Fail:
			t.Fail++
		case Unknown:
			t.Unknown++
		case Info:
			t.Info++
		}
	}
}
