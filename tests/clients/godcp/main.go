// go-dcp on the simulated cluster: streams as its configuration file says until COUNT events were seen, and a moment
// longer, so that one too many shows; then saves its checkpoint and ends.
//
//	godcp CONFIG COUNT SECONDS
//
// On standard output, a line each: "mutation KEY", "deletion KEY", "expiration KEY"; "pass done" when the count was reached.
package main

import (
	"fmt"
	"io"
	"os"
	"strconv"
	"sync"
	"time"

	dcp "github.com/Trendyol/go-dcp"
	"github.com/Trendyol/go-dcp/models"
	"github.com/sirupsen/logrus"
)

func main() {
	count, err := strconv.Atoi(os.Args[2])
	if err != nil {
		panic(err)
	}
	seconds, err := strconv.Atoi(os.Args[3])
	if err != nil {
		panic(err)
	}
	var lock sync.Mutex
	seen := 0
	log := logrus.New()
	log.SetOutput(os.Stderr)
	if os.Getenv("QUIET") != "" {
		log.SetOutput(io.Discard)
	}
	listener := func(c *models.ListenerContext) {
		kind, key := "", ""
		switch event := c.Event.(type) {
		case models.DcpMutation:
			kind, key = "mutation", string(event.Key)
		case models.DcpDeletion:
			kind, key = "deletion", string(event.Key)
		case models.DcpExpiration:
			kind, key = "expiration", string(event.Key)
		default:
			c.Ack()
			return
		}
		lock.Lock()
		seen++
		fmt.Println(kind, key)
		lock.Unlock()
		c.Ack()
	}
	d, err := dcp.NewDcpWithLogger(os.Args[1], listener, log)
	if err != nil {
		fmt.Println("fail", err)
		os.Exit(1)
	}
	go func() {
		<-d.WaitUntilReady()
		deadline := time.Now().Add(time.Duration(seconds) * time.Second)
		for time.Now().Before(deadline) {
			lock.Lock()
			enough := seen >= count
			lock.Unlock()
			if enough {
				break
			}
			time.Sleep(20 * time.Millisecond)
		}
		time.Sleep(500 * time.Millisecond)
		d.Close()
	}()
	d.Start()
	if seen >= count {
		fmt.Println("pass done")
	} else {
		fmt.Printf("fail %d events of %d\n", seen, count)
		os.Exit(1)
	}
}
