package cli

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"enjambre/agent/internal/enrol"
	"enjambre/agent/internal/failpoint"
	"enjambre/agent/internal/origin"
	"enjambre/agent/internal/state"
	"enjambre/core"
)

// enrollFlags are the flags of "enroll".
type enrollFlags struct {
	*place
	server, ca, token, tag, stock, proxy string
	anew                                 bool
}

func (p *program) enroll() *cobra.Command {
	var f enrollFlags
	command := &cobra.Command{
		Use: "enroll", Short: "make this computer a member of a deployment", Args: cobra.NoArgs,
		Long: `Make this computer a member of a deployment. The token comes from "enjambre-server enroll token". Where a
stock OCS agent is installed, its device ID and its record on the server are taken over.`,
		RunE: func(command *cobra.Command, _ []string) error {
			p.started = true
			return p.runEnroll(command.Context(), f)
		},
	}
	flags := command.Flags()
	f.place = p.place(command)
	flags.StringVar(&f.server, "server", "", "address of the server, such as https://deploy.example.net")
	flags.StringVar(&f.ca, "ca", "", "file of the server's authority: its cacert.pem")
	flags.StringVar(&f.token, "token", "", "the token, @FILE with it, or - to read it from standard input")
	flags.StringVar(&f.tag, "tag", "", "tag of this computer")
	flags.StringVar(&f.stock, "stock-folder", enrol.StockFolder, "where a stock agent keeps its state")
	flags.BoolVar(&f.anew, "anew", false,
		"set aside who the agent was, such as when it is a copy; it keeps what it installed")
	flags.StringVar(&f.proxy, "proxy", "",
		"none, system, or the address of a proxy (default: what the settings say)")
	p.jsonFlag(command)
	for _, name := range []string{"server", "ca", "token"} {
		if err := command.MarkFlagRequired(name); err != nil {
			panic(err) // no such flag: our mistake
		}
	}
	return command
}

func (p *program) runEnroll(ctx context.Context, f enrollFlags) error {
	server, err := origin.ParseServer(f.server)
	if err != nil {
		return &usageError{err}
	}
	token, err := p.readToken(f.token)
	if err != nil {
		return err
	}
	settings, err := f.settings()
	if err != nil {
		return err
	}
	proxy, err := chosenProxy(settings, f.proxy)
	if err != nil {
		return err
	}
	folder, err := state.Open(settings.State)
	if err != nil {
		return err
	}
	if f.anew {
		unlock, err := folder.Lock()
		if errors.Is(err, state.ErrRunning) {
			return fmt.Errorf("%w; stop it first: %s service stop", err, Name)
		}
		if err != nil {
			return err
		}
		defer unlock()
		aside, err := folder.SetAside(time.Now())
		if err != nil {
			return err
		}
		fmt.Fprintf(p.stderr, "%s: the former identity is in %s\n", Name, aside)
	}
	known, err := enrol.Enrol(ctx, enrol.Options{
		State: folder, Server: server, CA: f.ca, Token: token, Tag: f.tag, StockFolder: f.stock, Proxy: proxy,
		Now: failpoint.Now,
	})
	if err != nil {
		return err
	}
	if p.json {
		return json.NewEncoder(p.stdout).Encode(map[string]any{
			"deployment": known.Deployment, "computer": known.Device, "site": known.Site, "server": known.Server,
		})
	}
	_, err = fmt.Fprintf(p.stdout, "enrolled in %s as %s, site %s\n", known.Deployment, known.Device,
		known.Site)
	return err
}

// readToken returns the token: the flag's text, a file's content, or standard input's first line.
func (p *program) readToken(text string) (string, error) {
	var data []byte
	var err error
	switch file, isFile := strings.CutPrefix(text, "@"); {
	case isFile:
		data, err = os.ReadFile(file)
	case text == "-":
		data, err = io.ReadAll(io.LimitReader(p.stdin, maxToken+1))
	default:
		data = []byte(text)
	}
	var token string
	if err == nil {
		token, err = checkToken(data)
	}
	if err != nil {
		return "", &usageError{fmt.Errorf("--token: %w", err)}
	}
	return token, nil
}

// maxToken bounds a token, in bytes.
const maxToken = 256

// checkToken returns the token in a file's content.
func checkToken(data []byte) (string, error) {
	text, err := core.Text(data)
	if err != nil {
		return "", err
	}
	token := strings.TrimSpace(text)
	if token == "" || len(token) > maxToken || strings.ContainsAny(token, " \t\r\n") {
		return "", errors.New("it is empty, or no token")
	}
	return token, nil
}
