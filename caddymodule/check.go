package caddymodule

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/caddyserver/caddy/v2"
	caddycmd "github.com/caddyserver/caddy/v2/cmd"
)

// checkCommand makes `caddy gatehouse check`: what a start would find out
// about the gates of a configuration, without starting anything.
func (c *cli) checkCommand() *cobra.Command {
	var file, adapter string
	cmd := &cobra.Command{
		Use: "check", Short: "Says which sites have gates, and whether anything is left open", SilenceUsage: true,
		Args: understood(cobra.NoArgs),
		RunE: func(cmd *cobra.Command, _ []string) error {
			report, err := check(file, adapter)
			if err != nil {
				return err
			}
			return c.print(cmd, report, func(w io.Writer) { report.table(w) })
		},
	}
	cmd.Flags().StringVarP(&file, "config", "c", "", "the configuration (default: Caddyfile in this directory)")
	cmd.Flags().StringVarP(&adapter, "adapter", "a", "", "its format, if its name does not tell")
	return cmd
}

// checked is a pool with its places.
type checked struct {
	Pool   string        `json:"pool"`
	Issuer string        `json:"issuer"`
	Sites  []checkedSite `json:"sites"`
}

type checkedSite struct {
	Origin   string   `json:"origin"`
	Resource string   `json:"resource"`
	Gates    []string `json:"gates"` // places in the configuration
}

type checkReport []checked

// check provisions a configuration as `caddy validate` does, and pairs handlers
// with origins as a start does. It gives nothing back: the process ends after it.
func check(file, adapter string) (checkReport, error) {
	raw, file, _, err := caddycmd.LoadConfig(file, adapter)
	if err != nil {
		return nil, err
	}
	if raw == nil {
		return nil, errors.New("no configuration: name one with --config")
	}
	var cfg caddy.Config
	if err := json.Unmarshal(raw, &cfg); err != nil {
		return nil, fmt.Errorf("%s: %w", file, err)
	}
	ctx, err := caddy.ProvisionContext(&cfg)
	if err != nil {
		return nil, err
	}
	m, err := ctx.AppIfConfigured("gatehouse")
	if err != nil {
		return nil, fmt.Errorf("%s has no gatehouse directive and no gatehouse option", file)
	}
	app := m.(*App)
	if err := app.place(); err != nil {
		return nil, err
	}
	return app.report(), nil
}

// report lists the pools with their places.
func (a *App) report() checkReport {
	var out checkReport
	for _, p := range a.config.Pools {
		entry := checked{Pool: p.Name, Issuer: cmp.Or(p.Issuer, p.Login.Origin+p.Login.Prefix), Sites: []checkedSite{}}
		for _, s := range p.Sites {
			site := checkedSite{Origin: s.Origin, Resource: cmp.Or(s.Resource, s.Origin)}
			for _, g := range a.gates {
				if slices.Contains(g.origins, s.Origin) {
					site.Gates = appendNew(site.Gates, []string{g.Where})
				}
			}
			// A line that wants tokens alone makes an entry of its own in the configuration; people read one row for both.
			if !slices.ContainsFunc(entry.Sites, func(s checkedSite) bool { return s.Origin == site.Origin && s.Resource == site.Resource }) {
				entry.Sites = append(entry.Sites, site)
			}
		}
		out = append(out, entry)
	}
	return out
}

// table prints the report as people read it.
func (r checkReport) table(w io.Writer) {
	for i, p := range r {
		if i > 0 {
			fmt.Fprintln(w)
		}
		fmt.Fprintf(w, "Pool %s, issuer %s\n", p.Pool, p.Issuer)
		table(w, []string{"SITE", "RESOURCE", "GATES"}, func(row func(...string)) {
			for _, s := range p.Sites {
				row(s.Origin, s.Resource, strings.Join(s.Gates, " "))
			}
		})
	}
}
