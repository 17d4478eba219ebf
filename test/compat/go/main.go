// Program compat proves with etcd's own Go client that a cluster keeps etcd's promises while its leader is killed.
//
// It is told the client URLs of a cluster. It asks for what it needs with a line on its standard output, "HEALTHY" for a
// cluster that is whole and "KILL" for the death of the leader, and goes on with the next line of its standard input. It
// prints what it has checked, and ends with status 1 on the first violation.
package main

import (
	"bufio"
	"context"
	"fmt"
	"os"
	"strings"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"
	"go.uber.org/zap"
)

// Longer than any election on a loaded machine.
const patience = 60 * time.Second

type check struct {
	name string
	run  func(ctx context.Context, c *cluster) error
}

var checks = []check{
	{"keys: put, get, ranges, delete, compaction, errors by identity", checkKeys},
	{"txn: compares, branches, nesting", checkTxn},
	{"watch: every change once and in order, across the death of the leader", checkWatch},
	{"lease: kept alive across the death of the leader, ends when it is not", checkLease},
	{"mutex: one holder at a time, across the death of the leader", checkMutex},
	{"election: one leader at a time, across the death of the leader", checkElection},
	{"stm: transfers keep the sum, across the death of the leader", checkTransfers},
}

// A cluster whose leader can be killed.
type cluster struct {
	*clientv3.Client
	endpoints []string
	answers   *bufio.Scanner
}

func (c *cluster) ask(what string) error {
	fmt.Println(what)
	if !c.answers.Scan() {
		return fmt.Errorf("nobody answered to %s", what)
	}
	return nil
}

// killOnce has the leader killed as soon as what it shall disturb is under way.
func (c *cluster) killOnce(ctx context.Context, underWay func() bool) error {
	for !underWay() {
		if ctx.Err() != nil {
			return fmt.Errorf("what the leader shall die under did not begin: %w", ctx.Err())
		}
		time.Sleep(time.Millisecond)
	}
	return c.ask("KILL")
}

func (c *cluster) connect() (*clientv3.Client, error) {
	return clientv3.New(clientv3.Config{
		Endpoints:            c.endpoints,
		DialTimeout:          patience,
		DialKeepAliveTime:    2 * time.Second,
		DialKeepAliveTimeout: 2 * time.Second,
		Logger:               zap.NewNop(),
	})
}

func main() {
	if len(os.Args) != 2 {
		fmt.Fprintln(os.Stderr, "usage: compat URL,URL,...")
		os.Exit(2)
	}
	c := &cluster{endpoints: strings.Split(os.Args[1], ","), answers: bufio.NewScanner(os.Stdin)}
	client, err := c.connect()
	if err != nil {
		fmt.Println("FAILED connect:", err)
		os.Exit(1)
	}
	defer client.Close()
	c.Client = client
	for _, each := range checks {
		if err := c.ask("HEALTHY"); err != nil {
			fmt.Println("FAILED", err)
			os.Exit(1)
		}
		ctx, cancel := context.WithTimeout(context.Background(), patience)
		err := each.run(ctx, c)
		cancel()
		if err != nil {
			fmt.Printf("FAILED %s: %v\n", each.name, err)
			os.Exit(1)
		}
		fmt.Println("ok", each.name)
	}
}

// retry calls until the cluster answers; a cluster without a leader does not for a while.
func retry(ctx context.Context, call func() error) error {
	for {
		err := call()
		if err == nil || ctx.Err() != nil {
			return err
		}
		time.Sleep(20 * time.Millisecond)
	}
}
