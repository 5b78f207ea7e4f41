package cli

import "github.com/gpuworker/gpuworker/internal/plan"

// planText prints one plan for people.
func (a *app) planText(p *plan.Plan) error {
	return plan.Text(a.Out, p, plan.Style{Color: a.paint(a.Out).on})
}
