package main

import (
	"context"
	"fmt"
	"sync"
	"time"

	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	clientv3 "go.etcd.io/etcd/client/v3"
)

// A change as a watch or the store tells it.
type change struct {
	revision int64
	key      string
	deleted  bool
}

const changes = 1500

// checkWatch writes from four sides while a watch looks and the leader is killed. What a writer was told happened must be
// seen once, at its revision, and revisions rise.
func checkWatch(ctx context.Context, c *cluster) error {
	started, err := c.Put(ctx, "watch/start", "")
	if err != nil {
		return err
	}
	from := started.Header.Revision
	seen := make(chan []change, 1)
	failed := make(chan error, 1)
	watching := clientv3.WithRequireLeader(ctx)
	go watch(watching, c, from, seen, failed)

	var told sync.Map
	var writers sync.WaitGroup
	for writer := range 4 {
		writers.Go(func() { write(ctx, c, writer, &told) })
	}
	if err := c.killOnce(ctx, func() bool { return answered(&told) > changes/10 }); err != nil {
		return err
	}
	writers.Wait()
	if err := retry(ctx, func() error { _, err := c.Put(ctx, "watch/end", ""); return err }); err != nil {
		return err
	}
	var all []change
	select {
	case all = <-seen:
	case err := <-failed:
		return err
	case <-ctx.Done():
		return fmt.Errorf("the watch did not see the end: %w", ctx.Err())
	}
	return compareChanges(ctx, c, from, all, &told)
}

func answered(told *sync.Map) int {
	count := 0
	told.Range(func(_, _ any) bool {
		count++
		return true
	})
	return count
}

func write(ctx context.Context, c *cluster, writer int, told *sync.Map) {
	for at := range changes / 4 {
		key := fmt.Sprintf("watch/%d/%d", writer, at%7)
		if at%5 == 4 {
			if deleted, err := c.Delete(ctx, key); err == nil && deleted.Deleted == 1 {
				told.Store(deleted.Header.Revision, change{deleted.Header.Revision, key, true})
			}
			continue
		}
		if put, err := c.Put(ctx, key, fmt.Sprint(at)); err == nil {
			told.Store(put.Header.Revision, change{put.Header.Revision, key, false})
		} else {
			time.Sleep(20 * time.Millisecond)
		}
	}
}

// watch reports all changes up to the end. A watch that ends for want of a leader is begun again behind what it has seen.
func watch(ctx context.Context, c *cluster, from int64, seen chan<- []change, failed chan<- error) {
	var all []change
	next := from + 1
	for {
		responses := c.Watch(ctx, "watch/", clientv3.WithPrefix(), clientv3.WithRev(next), clientv3.WithProgressNotify())
		for response := range responses {
			if err := response.Err(); err != nil {
				if err == rpctypes.ErrNoLeader && ctx.Err() == nil {
					break
				}
				failed <- err
				return
			}
			for _, event := range response.Events {
				all = append(all, change{event.Kv.ModRevision, string(event.Kv.Key), event.Type == clientv3.EventTypeDelete})
				next = event.Kv.ModRevision + 1
				if string(event.Kv.Key) == "watch/end" {
					seen <- all
					return
				}
			}
		}
		if ctx.Err() != nil {
			failed <- ctx.Err()
			return
		}
	}
}

func compareChanges(ctx context.Context, c *cluster, from int64, all []change, told *sync.Map) error {
	at := make(map[int64]change, len(all))
	for position, each := range all {
		if position > 0 && each.revision <= all[position-1].revision {
			return fmt.Errorf("the change at %d came behind that at %d", each.revision, all[position-1].revision)
		}
		at[each.revision] = each
	}
	var wrong error
	told.Range(func(_, value any) bool {
		wanted := value.(change)
		if at[wanted.revision] != wanted {
			wrong = fmt.Errorf("the answer said %+v, the watch saw %+v", wanted, at[wanted.revision])
		}
		return wrong == nil
	})
	if wrong != nil {
		return wrong
	}
	// A second look at the same history, after the fact, has to be the same.
	again := make(chan []change, 1)
	failed := make(chan error, 1)
	watch(ctx, c, from, again, failed)
	select {
	case replayed := <-again:
		if len(replayed) != len(all) {
			return fmt.Errorf("%d changes were seen, and %d when looked at again", len(all), len(replayed))
		}
		for position := range all {
			if all[position] != replayed[position] {
				return fmt.Errorf("%+v was seen, and %+v when looked at again", all[position], replayed[position])
			}
		}
	case err := <-failed:
		return err
	}
	fmt.Printf("   %d changes seen, %d of them answered to their writers\n", len(all), answered(told))
	return nil
}
