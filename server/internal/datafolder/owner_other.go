//go:build !unix

package datafolder

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
)

// checkOwner only sees that the folder is there: access lists decide who may use it.
func checkOwner(path string) error {
	_, err := os.Stat(path)
	if errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("data folder %s does not exist; make it with \"init --data %s --host NAME\"", path,
			path)
	}
	return err
}
