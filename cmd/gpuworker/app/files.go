package app

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"syscall"

	"github.com/gpuworker/gpuworker/internal/shell"
)

// maxCredentials is far more than any token, password or CA bundle needs, in bytes.
const maxCredentials = 1 << 20

// readSecret reads a file with a secret, and warns when others may read it too.
func readSecret(warn func(string)) func(name string) ([]byte, error) {
	return func(name string) ([]byte, error) {
		data, mode, err := readSmall(name)
		if err == nil && mode&0o007 != 0 && warn != nil {
			warn(fmt.Sprintf("all users of this machine may read or change the secret in %s (mode %04o); run: %s", name, mode.Perm(), shell.Command("chmod 600 %s", name)))
		}
		return data, err
	}
}

// readSmall reads a regular file that is not too large. Opening or reading anything else,
// such as a FIFO or a device, may block forever, and Ctrl-C would not end it.
func readSmall(name string) ([]byte, fs.FileMode, error) {
	if info, err := os.Stat(name); err != nil {
		return nil, 0, err
	} else if err := regular(info); err != nil {
		return nil, 0, err
	}
	file, err := os.OpenFile(name, os.O_RDONLY|syscall.O_NONBLOCK, 0) // it may be a FIFO by now
	if err != nil {
		return nil, 0, err
	}
	defer func() { _ = file.Close() }()
	info, err := file.Stat()
	if err != nil {
		return nil, 0, err
	}
	if err := regular(info); err != nil {
		return nil, 0, err
	}
	data, err := io.ReadAll(io.LimitReader(file, maxCredentials+1))
	if err == nil && len(data) > maxCredentials {
		err = fmt.Errorf("it is larger than %d KiB; is it the right file?", maxCredentials>>10)
	}
	return data, info.Mode(), err
}

func regular(info fs.FileInfo) error {
	switch mode := info.Mode(); {
	case mode.IsRegular():
		return nil
	case mode.IsDir():
		return errors.New("it is a directory; name the file in it")
	case mode&fs.ModeNamedPipe != 0:
		return errors.New("it is a FIFO, and reading it may block forever; write the secret to a file of mode 600, or use env")
	default:
		return errors.New("it is not a regular file")
	}
}
