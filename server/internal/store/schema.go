package store

import (
	"context"
	_ "embed" // the schemas
	"fmt"
)

// schemas make a database: the first an empty one's tables, each further one what that version added. They
// only add, with defaults for rows that older programs write, since such a program may still have the
// database open while a newer one upgrades it. A schema that was released is never edited.
var schemas = []string{schema1, schema2, schema3, schema4, schema5, schema6, schema7, schema8, schema9, schema10}

//go:embed schema.sql
var schema1 string

//go:embed schema2.sql
var schema2 string

//go:embed schema3.sql
var schema3 string

//go:embed schema4.sql
var schema4 string

//go:embed schema5.sql
var schema5 string

//go:embed schema6.sql
var schema6 string

//go:embed schema7.sql
var schema7 string

//go:embed schema8.sql
var schema8 string

//go:embed schema9.sql
var schema9 string

//go:embed schema10.sql
var schema10 string

// schemaVersion is the version that this program makes and upgrades to: how many schemas there are.
func schemaVersion() int { return len(schemas) }

// version returns how many schemas a database has; 0 for an empty file.
func (s *Store) version(ctx context.Context) (version int, err error) {
	err = s.read.QueryRowContext(ctx, "PRAGMA user_version").Scan(&version)
	return version, err
}

// upgrade adds the schemas that the database lacks, all or none. Of several processes that do so at once, one
// does the work.
func (s *Store) upgrade(ctx context.Context) error {
	return s.change(ctx, func(tx *transaction) error {
		var have int
		if err := tx.QueryRowContext(ctx, "PRAGMA user_version").Scan(&have); err != nil {
			return err
		}
		if have >= len(schemas) {
			return nil
		}
		for i, schema := range schemas[have:] {
			if _, err := tx.ExecContext(ctx, schema); err != nil {
				return fmt.Errorf("schema %d: %w", have+i+1, err)
			}
		}
		_, err := tx.ExecContext(ctx, fmt.Sprintf("PRAGMA user_version = %d", len(schemas)))
		return err
	})
}
