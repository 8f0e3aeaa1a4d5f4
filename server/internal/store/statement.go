package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
)

// hot are the statements of an agent's contact. They are kept prepared, since parsing one costs several
// times what running it does.
var hot = []string{selectByDevice, selectID, selectSettings, selectOpenRows, touchComputer, touchOffer,
	keepProgress, selectLineage, touchLineage, touchMember, selectIPs, selectMembersFrom, selectMembersBefore,
	selectEpoch, selectNews, selectTold, keepTold, addShared,
	selectWorth, keepSaid, selectVoids, clearRefusal,
	updateHardware, selectTag, selectAddresses, deleteAddress, insertAddress, selectHistory, deleteHistory, insertHistory,
	selectInstalled, deleteInstalled, insertProgram, insertInstalled, beginOne, undoOne, endOne}

// A database is a pool of connections with the hot statements prepared. They are prepared when it is
// opened: inside a transaction that would wait for another connection, and with all of them busy for ever.
type database struct {
	*sql.DB
	prepared map[string]*sql.Stmt // unchanged after prepare
}

// prepare prepares the hot statements.
func (d *database) prepare(ctx context.Context) error {
	d.prepared = map[string]*sql.Stmt{}
	for _, text := range hot {
		statement, err := d.PrepareContext(ctx, text)
		if err != nil {
			return fmt.Errorf("prepare %q: %w", text, err)
		}
		d.prepared[text] = statement
	}
	return nil
}

// Close closes the statements and the connections.
func (d *database) Close() error {
	var problems []error
	for _, statement := range d.prepared {
		problems = append(problems, statement.Close())
	}
	return errors.Join(append(problems, d.DB.Close())...)
}

// begin starts a transaction.
func (d *database) begin(ctx context.Context, options *sql.TxOptions) (*transaction, error) {
	tx, err := d.BeginTx(ctx, options)
	if err != nil {
		return nil, err
	}
	return &transaction{Tx: tx, prepared: d.prepared}, nil
}

// A transaction uses the prepared form of a statement where there is one.
type transaction struct {
	*sql.Tx
	prepared map[string]*sql.Stmt
}

// QueryContext runs a statement that returns rows.
func (t *transaction) QueryContext(ctx context.Context, text string, args ...any) (*sql.Rows, error) {
	if statement := t.prepared[text]; statement != nil {
		return t.StmtContext(ctx, statement).QueryContext(ctx, args...)
	}
	return t.Tx.QueryContext(ctx, text, args...)
}

// QueryRowContext runs a statement that returns one row.
func (t *transaction) QueryRowContext(ctx context.Context, text string, args ...any) *sql.Row {
	if statement := t.prepared[text]; statement != nil {
		return t.StmtContext(ctx, statement).QueryRowContext(ctx, args...)
	}
	return t.Tx.QueryRowContext(ctx, text, args...)
}

// ExecContext runs a statement that returns nothing.
func (t *transaction) ExecContext(ctx context.Context, text string, args ...any) (sql.Result, error) {
	if statement := t.prepared[text]; statement != nil {
		return t.StmtContext(ctx, statement).ExecContext(ctx, args...)
	}
	return t.Tx.ExecContext(ctx, text, args...)
}
