package main

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"
	"go.etcd.io/etcd/client/v3/concurrency"
)

const leaseSeconds = 12

func checkLease(ctx context.Context, c *cluster) error {
	lease, err := c.Grant(ctx, leaseSeconds)
	if err != nil {
		return err
	}
	if _, err := c.Put(ctx, "lease/kept", "", clientv3.WithLease(lease.ID)); err != nil {
		return err
	}
	alive, err := c.KeepAlive(ctx, lease.ID)
	if err != nil {
		return err
	}
	if first := <-alive; first == nil || first.TTL != leaseSeconds {
		return fmt.Errorf("the first renewal said %v", first)
	}
	if err := c.killOnce(ctx, func() bool { return true }); err != nil {
		return err
	}
	// The answers that were under way when the leader died may come before: two come from the new one for certain.
	for range 3 {
		if answer := <-alive; answer == nil {
			return errors.New("the lease was lost although it was kept alive")
		}
	}
	left, err := c.TimeToLive(ctx, lease.ID, clientv3.WithAttachedKeys())
	if err != nil || left.TTL <= 0 || len(left.Keys) != 1 {
		return fmt.Errorf("the lease that is kept has %v, %v", left, err)
	}
	if _, err := c.Revoke(ctx, lease.ID); err != nil {
		return err
	}
	for range alive {
		// Ends when the lease is known to be gone.
	}
	if kept, err := c.Get(ctx, "lease/kept"); err != nil || kept.Count != 0 {
		return fmt.Errorf("a key outlived its lease: %v", err)
	}
	return checkLeaseEnd(ctx, c)
}

// checkLeaseEnd leaves a lease alone and waits for its key to go.
func checkLeaseEnd(ctx context.Context, c *cluster) error {
	lease, err := c.Grant(ctx, 1)
	if err != nil {
		return err
	}
	put, err := c.Put(ctx, "lease/left", "", clientv3.WithLease(lease.ID))
	if err != nil {
		return err
	}
	for response := range c.Watch(ctx, "lease/left", clientv3.WithRev(put.Header.Revision+1)) {
		if len(response.Events) > 0 && response.Events[0].Type == clientv3.EventTypeDelete {
			return nil
		}
	}
	return errors.New("a lease that nobody renews did not end")
}

const (
	lockers = 4
	rounds  = 5
)

// checkMutex counts under a lock, each locker with a session of its own. Two at once would lose a count.
func checkMutex(ctx context.Context, c *cluster) error {
	var group sync.WaitGroup
	failures := make(chan error, lockers)
	var holders, finished atomic.Int64
	for range lockers {
		group.Go(func() {
			for range rounds {
				if err := countLocked(ctx, c, &holders); err != nil {
					failures <- err
					return
				}
				finished.Add(1)
			}
		})
	}
	if err := c.killOnce(ctx, func() bool { return finished.Load() > 1 }); err != nil {
		return err
	}
	group.Wait()
	select {
	case err := <-failures:
		return err
	default:
	}
	count, err := c.Get(ctx, "mutex/count")
	if err != nil {
		return err
	}
	if string(count.Kvs[0].Value) != strconv.Itoa(lockers*rounds) || finished.Load() != lockers*rounds {
		return fmt.Errorf("%d locked counts made %s", lockers*rounds, count.Kvs[0].Value)
	}
	return tryLock(ctx, c)
}

func countLocked(ctx context.Context, c *cluster, holders *atomic.Int64) error {
	var session *concurrency.Session
	err := retry(ctx, func() (err error) {
		session, err = concurrency.NewSession(c.Client, concurrency.WithTTL(leaseSeconds), concurrency.WithContext(ctx))
		return err
	})
	if err != nil {
		return err
	}
	defer session.Close()
	mutex := concurrency.NewMutex(session, "mutex/lock")
	if err := retry(ctx, func() error { return mutex.Lock(ctx) }); err != nil {
		return err
	}
	if holders.Add(1) != 1 {
		return errors.New("two hold the lock")
	}
	var count int
	err = retry(ctx, func() error {
		current, err := c.Get(ctx, "mutex/count")
		if err != nil {
			return err
		}
		count = 0
		if len(current.Kvs) > 0 {
			count, err = strconv.Atoi(string(current.Kvs[0].Value))
		}
		return err
	})
	if err != nil {
		return err
	}
	// The same value again is the same: it may be tried again, as long as the lock is held.
	written := func() error {
		put, err := c.Txn(ctx).If(mutex.IsOwner()).Then(clientv3.OpPut("mutex/count", strconv.Itoa(count+1))).Commit()
		if err == nil && !put.Succeeded {
			return errors.New("the lock was lost while it was held")
		}
		return err
	}
	if err := retry(ctx, written); err != nil {
		return err
	}
	holders.Add(-1)
	return retry(ctx, func() error { return mutex.Unlock(ctx) })
}

func tryLock(ctx context.Context, c *cluster) error {
	one, err := concurrency.NewSession(c.Client, concurrency.WithContext(ctx))
	if err != nil {
		return err
	}
	defer one.Close()
	other, err := concurrency.NewSession(c.Client, concurrency.WithContext(ctx))
	if err != nil {
		return err
	}
	defer other.Close()
	held := concurrency.NewMutex(one, "mutex/try")
	if err := held.TryLock(ctx); err != nil {
		return err
	}
	if err := concurrency.NewMutex(other, "mutex/try").TryLock(ctx); !errors.Is(err, concurrency.ErrLocked) {
		return fmt.Errorf("a lock that is held says %v", err)
	}
	return held.Unlock(ctx)
}

// checkElection lets three campaign, one after the other lead, and an observer look.
func checkElection(ctx context.Context, c *cluster) error {
	const candidates = 3
	observed := make(chan string, 16)
	observer, err := concurrency.NewSession(c.Client, concurrency.WithTTL(leaseSeconds), concurrency.WithContext(ctx))
	if err != nil {
		return err
	}
	defer observer.Close()
	observing, stop := context.WithCancel(ctx)
	defer stop()
	go func() {
		for response := range concurrency.NewElection(observer, "election").Observe(observing) {
			observed <- string(response.Kvs[0].Value)
		}
		close(observed)
	}()
	var leading, led atomic.Int64
	failures := make(chan error, candidates)
	for candidate := range candidates {
		go func() { failures <- lead(ctx, c, strconv.Itoa(candidate), &leading, &led) }()
	}
	if err := c.killOnce(ctx, func() bool { return leading.Load() == 1 }); err != nil {
		return err
	}
	for range candidates {
		if err := <-failures; err != nil {
			return err
		}
	}
	// An observer sees the newest leader, not every one that came and went between two looks.
	if value, open := <-observed; !open || value == "" {
		return errors.New("the observer saw nobody")
	}
	if led.Load() != candidates {
		return fmt.Errorf("%d of %d were elected", led.Load(), candidates)
	}
	return nil
}

func lead(ctx context.Context, c *cluster, name string, leading, led *atomic.Int64) error {
	var session *concurrency.Session
	err := retry(ctx, func() (err error) {
		session, err = concurrency.NewSession(c.Client, concurrency.WithTTL(leaseSeconds), concurrency.WithContext(ctx))
		return err
	})
	if err != nil {
		return err
	}
	defer session.Close()
	election := concurrency.NewElection(session, "election")
	if err := retry(ctx, func() error { return election.Campaign(ctx, name) }); err != nil {
		return err
	}
	if leading.Add(1) != 1 {
		return errors.New("two lead")
	}
	var current *clientv3.GetResponse
	err = retry(ctx, func() (err error) { current, err = election.Leader(ctx); return err })
	if err != nil {
		return err
	}
	if string(current.Kvs[0].Value) != name {
		return fmt.Errorf("%s leads, and the election says %s", name, current.Kvs[0].Value)
	}
	time.Sleep(300 * time.Millisecond)
	led.Add(1)
	leading.Add(-1)
	return retry(ctx, func() error { return election.Resign(ctx) })
}

const (
	accounts  = 5
	transfers = 100
)

// checkTransfers moves money between accounts from four sides; an STM that reads what was half written loses some.
func checkTransfers(ctx context.Context, c *cluster) error {
	for account := range accounts {
		if _, err := c.Put(ctx, fmt.Sprint("stm/", account), "100"); err != nil {
			return err
		}
	}
	var group sync.WaitGroup
	var done atomic.Int64
	for side := range 4 {
		group.Go(func() {
			for at := range transfers / 4 {
				from, to := (side+at)%accounts, (side+at*3+1)%accounts
				if _, err := concurrency.NewSTM(c.Client, transfer(from, to), concurrency.WithAbortContext(ctx)); err == nil {
					done.Add(1)
				}
			}
		})
	}
	if err := c.killOnce(ctx, func() bool { return done.Load() > transfers/10 }); err != nil {
		return err
	}
	group.Wait()
	all, err := c.Get(ctx, "stm/", clientv3.WithPrefix())
	if err != nil {
		return err
	}
	sum := 0
	for _, each := range all.Kvs {
		amount, _ := strconv.Atoi(string(each.Value))
		sum += amount
	}
	if sum != accounts*100 {
		return fmt.Errorf("the sum of the accounts is %d", sum)
	}
	if done.Load() == 0 {
		return errors.New("no transfer went through")
	}
	fmt.Printf("   %d transfers\n", done.Load())
	return nil
}

func transfer(from, to int) func(concurrency.STM) error {
	return func(stm concurrency.STM) error {
		if from == to {
			return nil
		}
		source, target := fmt.Sprint("stm/", from), fmt.Sprint("stm/", to)
		have, _ := strconv.Atoi(stm.Get(source))
		other, _ := strconv.Atoi(stm.Get(target))
		stm.Put(source, strconv.Itoa(have-1))
		stm.Put(target, strconv.Itoa(other+1))
		return nil
	}
}
