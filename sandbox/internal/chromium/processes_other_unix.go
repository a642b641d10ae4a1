//go:build unix && !linux

package chromium

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"os/exec"
	"strconv"
	"strings"
)

// processes lists the processes of this machine.
func processes(ctx context.Context) ([]process, error) {
	output, err := exec.CommandContext(ctx, "ps", "-axww", "-o", "pid=,pgid=,uid=,command=").Output()
	if err != nil {
		return nil, fmt.Errorf("list the processes: %w", err)
	}
	var all []process
	lines := bufio.NewScanner(bytes.NewReader(output))
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		fields := strings.Fields(lines.Text())
		if len(fields) < 4 {
			continue
		}
		var numbers [3]int
		for i := range numbers {
			if numbers[i], err = strconv.Atoi(fields[i]); err != nil {
				return nil, fmt.Errorf("list the processes: %w", err)
			}
		}
		all = append(all, process{pid: numbers[0], group: numbers[1], uid: numbers[2], args: fields[3:]})
	}
	return all, lines.Err()
}
