package cli

import (
	"context"
	"crypto/rand"
	"encoding/base64"
	"errors"
	"fmt"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"enjambre/core"
	"enjambre/server/internal/datafolder"
	"enjambre/server/internal/store"
)

// Bounds of a token.
const (
	tokenBytes   = 24 // random; 192 bits cannot be guessed
	maxTokenLife = 366 * 24 * time.Hour
)

func (p *program) enrollCommand() *cobra.Command {
	return group("enroll", "tokens with which agents enrol", p.enrollToken())
}

// tokenFlags say what a token is for.
type tokenFlags struct {
	site    string
	newSite bool
	uses    int
	life    time.Duration
}

func (f *tokenFlags) add(command *cobra.Command, uses int, life time.Duration) {
	command.Flags().StringVar(&f.site, "site", "", "site of the computers that use it")
	newSiteFlag(command, &f.newSite)
	command.Flags().IntVar(&f.uses, "uses", uses, "how many computers may use it")
	durationFlag(command, &f.life, "for", life, "how long it is valid, such as 24h or 10d")
	require(command, "site")
}

// make returns a new token, which counts once it is added to the store.
func (f *tokenFlags) make(now time.Time) (text string, token store.Token, err error) {
	name, err := core.ParseSiteName(f.site)
	if err != nil {
		return "", store.Token{}, usage(fmt.Errorf("--site: %w", err))
	}
	if f.life <= 0 || f.life > maxTokenLife {
		return "", store.Token{}, usage(fmt.Errorf("--for: %s is not a life of up to a year, such as 24h or 10d",
			core.DurationText(f.life)))
	}
	if f.uses < 1 || f.uses > 10_000 {
		return "", store.Token{}, usage(errors.New("--uses: use 1 to 10000"))
	}
	random := make([]byte, tokenBytes)
	_, _ = rand.Read(random) // never fails
	token = store.Token{Site: name, Uses: f.uses, Expires: now.Add(f.life)}
	return base64.RawURLEncoding.EncodeToString(random), token, nil
}

func (p *program) enrollToken() *cobra.Command {
	var f tokenFlags
	command := p.printing("token", "make a token for the computers of a site; it is shown once", cobra.NoArgs,
		func(ctx context.Context, folder *datafolder.Folder, _ []string) error {
			text, token, err := f.make(p.now())
			if err != nil {
				return err
			}
			if err := needSite(ctx, folder, token.Site, f.newSite); err != nil {
				return err
			}
			if err := folder.Store.AddToken(ctx, text, token, p.now()); err != nil {
				return err
			}
			p.note("it is shown once; \"enroll token revoke %s\" takes it back", store.TokenID(text))
			answer := map[string]any{
				"id": store.TokenID(text), "token": text, "site": token.Site, "uses": token.Uses, "expires": token.Expires.UTC().Truncate(time.Second),
			}
			return p.print(answer, func(w *tabwriter.Writer) { row(w, text) })
		})
	f.add(command, 1, 24*time.Hour)
	command.AddCommand(p.tokenList(), p.tokenRevoke())
	return command
}

func (p *program) tokenList() *cobra.Command {
	return p.printing("list", "list the tokens; what it takes to use them is not kept", cobra.NoArgs,
		func(ctx context.Context, folder *datafolder.Folder, _ []string) error {
			tokens, err := folder.Store.Tokens(ctx)
			if err != nil {
				return err
			}
			return p.print(map[string]any{"tokens": tokens}, func(w *tabwriter.Writer) {
				row(w, "ID", "SITE", "USES LEFT", "USED", "MADE", "EXPIRES", "")
				for _, one := range tokens {
					row(w, one.ID, one.Site, one.Left, one.Used, when(one.Created), when(one.Expires), tokenState(one, p.now()))
				}
			})
		})
}

// tokenState says why a token does not count any more; "" if it does.
func tokenState(token store.TokenView, now time.Time) string {
	switch {
	case now.Unix() >= token.Expires.Unix():
		return "expired"
	case token.Left == 0:
		return "used up"
	}
	return ""
}

func (p *program) tokenRevoke() *cobra.Command {
	command := p.printing("revoke ID", "take a token back: nobody enrols with it any more", cobra.ExactArgs(1),
		func(ctx context.Context, folder *datafolder.Folder, args []string) error {
			was, err := folder.Store.RevokeToken(ctx, args[0])
			if err != nil {
				return err
			}
			if was.Used > 0 {
				p.note("%s enrolled with it and stay enrolled; \"agent revoke DEVICEID\" takes one's right away",
					core.Count(was.Used, "agent"))
			}
			return p.did(map[string]any{"revoked": was}, "token %s of site %s is revoked", was.ID, was.Site)
		})
	command.Long = `Take a token back: nobody enrols with it any more. ID is what "enroll token list" shows, not the token. Agents
that have enrolled with it stay enrolled.`
	return command
}

func (p *program) agentCommand() *cobra.Command {
	return group("agent", "enrolled agents", p.agentList(), p.agentRevoke(), p.agentKeep())
}

func (p *program) agentList() *cobra.Command {
	return p.printing("list", "list the enrolled agents", cobra.NoArgs,
		func(ctx context.Context, folder *datafolder.Folder, _ []string) error {
			agents, err := folder.Store.Agents(ctx)
			if err != nil {
				return err
			}
			return p.print(map[string]any{"agents": agents}, func(w *tabwriter.Writer) {
				row(w, "COMPUTER", "NAME", "SITE", "ENROLLED", "CERTIFIED UNTIL", "REVOKED", "LAST CONTACT", "CLONED SINCE",
					"CLONE CALLED")
				for _, one := range agents {
					row(w, one.Device, dash(one.Name), dash(one.Site), when(one.Enrolled), when(one.Certified),
						when(one.Revoked), when(one.LastContact), when(one.Cloned), when(one.CloneCalled))
				}
			})
		})
}

func (p *program) agentRevoke() *cobra.Command {
	return p.printing("revoke DEVICEID", "take an agent's right to speak for its computer", cobra.ExactArgs(1),
		func(ctx context.Context, folder *datafolder.Folder, args []string) error {
			device, err := deviceArgument(args)
			if err != nil {
				return err
			}
			if err := folder.Store.Revoke(ctx, device, p.now()); err != nil {
				return err
			}
			return p.did(map[string]any{"revoked": device}, "the agent of %s is revoked: only a new enrolment gives it back",
				device)
		})
}

func (p *program) agentKeep() *cobra.Command {
	command := p.printing(
		"keep DEVICEID",
		"of several computers with one identity, keep the one that calls next",
		cobra.ExactArgs(1),
		func(ctx context.Context, folder *datafolder.Folder, args []string) error {
			device, err := deviceArgument(args)
			if err != nil {
				return err
			}
			since, err := folder.Store.KeepNext(ctx, device)
			if err != nil {
				return err
			}
			if since.IsZero() {
				p.note("%s was not known as cloned", device)
			}
			return p.did(map[string]any{"kept": device}, "of the computers that are %s, the one that calls next is kept", device)
		})
	command.Long = `Of several computers with one identity, keep the one that calls next. The server finds them out by
their contacts and keeps one by itself; the others are told to enrol again. If it kept the wrong one, or had to
be restored from a backup since, stop the agents of all computers but the one to be kept, and then run this.`
	return command
}
