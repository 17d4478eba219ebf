package main

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	clientv3 "go.etcd.io/etcd/client/v3"
)

func checkKeys(ctx context.Context, c *cluster) error {
	first, err := c.Put(ctx, "kv/a", "1")
	if err != nil {
		return err
	}
	second, err := c.Put(ctx, "kv/a", "2", clientv3.WithPrevKV())
	if err != nil {
		return err
	}
	if second.Header.Revision != first.Header.Revision+1 || string(second.PrevKv.Value) != "1" {
		return fmt.Errorf("a second put at %d had the previous value %q", second.Header.Revision, second.PrevKv.Value)
	}
	for at := range 250 {
		if _, err := c.Put(ctx, fmt.Sprintf("kv/list/%03d", at), "x"); err != nil {
			return err
		}
	}
	if err := checkRanges(ctx, c); err != nil {
		return err
	}
	old, err := c.Get(ctx, "kv/a", clientv3.WithRev(first.Header.Revision))
	if err != nil || len(old.Kvs) != 1 || string(old.Kvs[0].Value) != "1" {
		return fmt.Errorf("a read of the past gave %v, %v", old, err)
	}
	deleted, err := c.Delete(ctx, "kv/list/", clientv3.WithPrefix(), clientv3.WithPrevKV())
	if err != nil || deleted.Deleted != 250 || len(deleted.PrevKvs) != 250 {
		return fmt.Errorf("a delete of 250 keys: %v", err)
	}
	if _, err := c.Compact(ctx, second.Header.Revision, clientv3.WithCompactPhysical()); err != nil {
		return err
	}
	return checkErrors(ctx, c, first.Header.Revision, deleted.Header.Revision)
}

func checkRanges(ctx context.Context, c *cluster) error {
	page, err := c.Get(ctx, "kv/list/", clientv3.WithPrefix(), clientv3.WithLimit(100),
		clientv3.WithSort(clientv3.SortByKey, clientv3.SortDescend))
	if err != nil {
		return err
	}
	if page.Count != 250 || !page.More || len(page.Kvs) != 100 || string(page.Kvs[0].Key) != "kv/list/249" {
		return fmt.Errorf("a page of 100 of 250 keys has %d, count %d, more %t", len(page.Kvs), page.Count, page.More)
	}
	parts, err := c.GetStream(ctx, "kv/list/", clientv3.WithPrefix())
	if err != nil {
		return err
	}
	streamed, err := clientv3.GetStreamToGetResponse(parts)
	if err != nil {
		return err
	}
	whole, err := c.Get(ctx, "kv/list/", clientv3.WithPrefix(), clientv3.WithSerializable())
	if err != nil {
		return err
	}
	if len(streamed.Kvs) != 250 || len(whole.Kvs) != 250 || streamed.Count != whole.Count {
		return fmt.Errorf("250 keys are %d as a stream and %d as one answer", len(streamed.Kvs), len(whole.Kvs))
	}
	return nil
}

func checkErrors(ctx context.Context, c *cluster, compacted, current int64) error {
	get := func(revision int64) error {
		_, err := c.Get(ctx, "kv/a", clientv3.WithRev(revision))
		return err
	}
	txn := func(operations ...clientv3.Op) error {
		_, err := c.Txn(ctx).Then(operations...).Commit()
		return err
	}
	_, noKey := c.Put(ctx, "", "x")
	_, noLease := c.Put(ctx, "kv/a", "x", clientv3.WithLease(4711))
	_, tooLarge := c.Put(ctx, "kv/a", strings.Repeat("x", 1_600_000))
	_, revoked := c.Revoke(ctx, 4711)
	_, noMember := c.MemberRemove(ctx, 4711)
	many := make([]clientv3.Op, 129)
	for at := range many {
		many[at] = clientv3.OpPut(fmt.Sprint("kv/", at), "x")
	}
	for _, each := range []struct{ got, wanted error }{
		{get(compacted), rpctypes.ErrCompacted},
		{get(current + 1000), rpctypes.ErrFutureRev},
		{noKey, rpctypes.ErrEmptyKey},
		{noLease, rpctypes.ErrLeaseNotFound},
		{revoked, rpctypes.ErrLeaseNotFound},
		{tooLarge, rpctypes.ErrRequestTooLarge},
		{noMember, rpctypes.ErrMemberNotFound},
		{txn(clientv3.OpPut("kv/a", "1"), clientv3.OpPut("kv/a", "2")), rpctypes.ErrDuplicateKey},
		{txn(many...), rpctypes.ErrTooManyOps},
	} {
		if !errors.Is(each.got, each.wanted) {
			return fmt.Errorf("got the error %v, wanted %v", each.got, each.wanted)
		}
	}
	return nil
}

func checkTxn(ctx context.Context, c *cluster) error {
	created, err := c.Txn(ctx).
		If(clientv3.Compare(clientv3.CreateRevision("txn/a"), "=", 0)).
		Then(clientv3.OpPut("txn/a", "1"), clientv3.OpGet("txn/a")).
		Else(clientv3.OpGet("txn/a")).
		Commit()
	if err != nil {
		return err
	}
	if !created.Succeeded || string(created.Responses[1].GetResponseRange().Kvs[0].Value) != "1" {
		return errors.New("a txn does not read its own write")
	}
	nested, err := c.Txn(ctx).
		If(clientv3.Compare(clientv3.Value("txn/a"), "=", "1"), clientv3.Compare(clientv3.Version("txn/a"), "<", 2)).
		Then(
			clientv3.OpTxn(
				[]clientv3.Cmp{clientv3.Compare(clientv3.ModRevision("txn/a"), "=", created.Header.Revision)},
				[]clientv3.Op{clientv3.OpPut("txn/b", "inner")},
				[]clientv3.Op{clientv3.OpDelete("txn/a")}),
			clientv3.OpDelete("txn/c")).
		Commit()
	if err != nil {
		return err
	}
	if !nested.Succeeded || !nested.Responses[0].GetResponseTxn().Succeeded {
		return errors.New("a nested txn took the wrong branch")
	}
	failed, err := c.Txn(ctx).
		If(clientv3.Compare(clientv3.Value("txn/").WithPrefix(), "!=", "inner")).
		Then(clientv3.OpDelete("txn/", clientv3.WithPrefix())).
		Else(clientv3.OpGet("txn/", clientv3.WithPrefix(), clientv3.WithKeysOnly())).
		Commit()
	if err != nil {
		return err
	}
	if failed.Succeeded || failed.Responses[0].GetResponseRange().Count != 2 {
		return errors.New("a compare of a range took the wrong branch")
	}
	return nil
}
