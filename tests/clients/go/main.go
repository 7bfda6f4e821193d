// gocbcore's key-value and DCP agents against a cluster: clients URL USER PASSWORD BUCKET
//
// The key-value agent loads, the DCP agent streams every vBucket, and what arrives is compared with what was loaded.
// Each check prints "pass NAME" or "fail NAME: why"; the caller knows the names.
package main

import (
	"errors"
	"fmt"
	"net/url"
	"os"
	"sync"
	"time"

	"github.com/couchbase/gocbcore/v10"
	"github.com/couchbase/gocbcore/v10/memd"
)

const (
	documents = 600
	deleted   = 60
	expired   = 20
	patience  = 40 * time.Second
)

var failed bool

func check(name string, body func() error) {
	if err := body(); err != nil {
		failed = true
		fmt.Printf("fail %s: %v\n", name, err)
		return
	}
	fmt.Printf("pass %s\n", name)
}

func expect(ok bool, format string, args ...any) error {
	if ok {
		return nil
	}
	return fmt.Errorf(format, args...)
}

// wait starts an operation and waits for its callback.
func wait(start func(done func(error)) (gocbcore.PendingOp, error)) error {
	ch := make(chan error, 1)
	if _, err := start(func(err error) { ch <- err }); err != nil {
		return err
	}
	select {
	case err := <-ch:
		return err
	case <-time.After(patience):
		return errors.New("no answer")
	}
}

func until(what func() error) error {
	var err error
	for end := time.Now().Add(patience); time.Now().Before(end); time.Sleep(20 * time.Millisecond) {
		if err = what(); err == nil {
			return nil
		}
	}
	return err
}

// ---- the key-value side ----

type store struct {
	agent  *gocbcore.Agent
	bucket string
}

func openStore(connstr, user, password, bucket string) (*store, error) {
	config := gocbcore.AgentConfig{BucketName: bucket}
	if err := config.FromConnStr(connstr); err != nil {
		return nil, err
	}
	config.SecurityConfig.Auth = &gocbcore.PasswordAuthProvider{Username: user, Password: password}
	config.IoConfig.UseCollections = true
	config.IoConfig.UseMutationTokens = true
	agent, err := gocbcore.CreateAgent(&config)
	if err != nil {
		return nil, err
	}
	err = wait(func(done func(error)) (gocbcore.PendingOp, error) {
		return agent.WaitUntilReady(time.Now().Add(patience), gocbcore.WaitUntilReadyOptions{},
			func(_ *gocbcore.WaitUntilReadyResult, err error) { done(err) })
	})
	return &store{agent, bucket}, err
}

func (s *store) set(scope, coll, key, value string, expiry uint32) (token gocbcore.MutationToken, err error) {
	err = wait(func(done func(error)) (gocbcore.PendingOp, error) {
		return s.agent.Set(gocbcore.SetOptions{Key: []byte(key), Value: []byte(value), Expiry: expiry,
			ScopeName: scope, CollectionName: coll}, func(r *gocbcore.StoreResult, err error) {
			if err == nil {
				token = r.MutationToken
			}
			done(err)
		})
	})
	return
}

func (s *store) get(key string) (value string, err error) {
	err = wait(func(done func(error)) (gocbcore.PendingOp, error) {
		return s.agent.Get(gocbcore.GetOptions{Key: []byte(key)}, func(r *gocbcore.GetResult, err error) {
			if err == nil {
				value = string(r.Value)
			}
			done(err)
		})
	})
	return
}

func (s *store) remove(key string) error {
	return wait(func(done func(error)) (gocbcore.PendingOp, error) {
		return s.agent.Delete(gocbcore.DeleteOptions{Key: []byte(key)},
			func(_ *gocbcore.DeleteResult, err error) { done(err) })
	})
}

func (s *store) observe(vb uint16, uuid gocbcore.VbUUID) (result *gocbcore.ObserveVbResult, err error) {
	err = wait(func(done func(error)) (gocbcore.PendingOp, error) {
		return s.agent.ObserveVb(gocbcore.ObserveVbOptions{VbID: vb, VbUUID: uuid},
			func(r *gocbcore.ObserveVbResult, err error) {
				result = r
				done(err)
			})
	})
	return
}

func (s *store) manage(method, path string, form url.Values) error {
	return wait(func(done func(error)) (gocbcore.PendingOp, error) {
		return s.agent.DoHTTPRequest(&gocbcore.HTTPRequest{
			Service: gocbcore.MgmtService, Method: method, Deadline: time.Now().Add(patience),
			Path: "/pools/default/buckets/" + s.bucket + "/scopes" + path, Body: []byte(form.Encode()),
			Headers: map[string]string{"Content-Type": "application/x-www-form-urlencoded"},
		}, func(r *gocbcore.HTTPResponse, err error) {
			if err == nil {
				_ = r.Body.Close()
				err = expect(r.StatusCode == 200, "status %d", r.StatusCode)
			}
			done(err)
		})
	})
}

func run(connstr, user, password, bucket string) {
	var s *store
	check("login of the key-value agent", func() (err error) {
		s, err = openStore(connstr, user, password, bucket)
		return
	})
	if failed {
		return
	}
	defer s.agent.Close()
	want := load(s)
	streamChecks(s, connstr, user, password, bucket, want)
}

// load writes, and returns what a stream must end up with in the default collection.
func load(s *store) map[string]string {
	want := map[string]string{}
	key := func(i int) string { return fmt.Sprintf("key-%d", i) }
	check("set and get", func() error {
		for i := 0; i < documents; i++ {
			value := fmt.Sprintf(`{"n":%d}`, i)
			if _, err := s.set("", "", key(i), value, 0); err != nil {
				return err
			}
			want[key(i)] = value
		}
		for i := 0; i < documents; i++ {
			if got, err := s.get(key(i)); err != nil || got != want[key(i)] {
				return fmt.Errorf("%s: %q, %v", key(i), got, err)
			}
		}
		return nil
	})
	check("delete", func() error {
		for i := 0; i < deleted; i++ {
			if err := s.remove(key(i)); err != nil {
				return err
			}
			delete(want, key(i))
		}
		_, err := s.get(key(0))
		return expect(errors.Is(err, gocbcore.ErrDocumentNotFound), "%v", err)
	})
	check("expiry", func() error {
		for i := 0; i < expired; i++ {
			if _, err := s.set("", "", fmt.Sprintf("short-%d", i), "x", 1); err != nil {
				return err
			}
		}
		return until(func() error {
			_, err := s.get("short-0")
			return expect(errors.Is(err, gocbcore.ErrDocumentNotFound), "%v", err)
		})
	})
	return want
}

func main() {
	if len(os.Args) != 5 {
		fmt.Println("usage: clients URL USER PASSWORD BUCKET")
		os.Exit(2)
	}
	run(os.Args[1], os.Args[2], os.Args[3], os.Args[4])
	if failed {
		os.Exit(1)
	}
}

// ---- streams ----

func openDCP(connstr, user, password, bucket, name string, flags memd.DcpOpenFlag,
	change func(*gocbcore.DCPAgentConfig)) (*gocbcore.DCPAgent, error) {
	config := gocbcore.DCPAgentConfig{BucketName: bucket}
	if err := config.FromConnStr(connstr); err != nil {
		return nil, err
	}
	config.SecurityConfig.Auth = &gocbcore.PasswordAuthProvider{Username: user, Password: password}
	config.IoConfig.UseCollections = true
	config.DCPConfig.UseExpiryOpcode = true
	if change != nil {
		change(&config)
	}
	agent, err := gocbcore.CreateDcpAgent(&config, name, flags)
	if err != nil {
		return nil, err
	}
	err = wait(func(done func(error)) (gocbcore.PendingOp, error) {
		return agent.WaitUntilReady(time.Now().Add(patience), gocbcore.WaitUntilReadyOptions{},
			func(_ *gocbcore.WaitUntilReadyResult, err error) { done(err) })
	})
	return agent, err
}

func highSeqnos(agent *gocbcore.DCPAgent) (map[uint16]uint64, error) {
	high := map[uint16]uint64{}
	snapshot, err := agent.ConfigSnapshot()
	if err != nil {
		return nil, err
	}
	servers, err := snapshot.NumServers()
	if err != nil {
		return nil, err
	}
	for i := 1; i <= servers; i++ {
		err := wait(func(done func(error)) (gocbcore.PendingOp, error) {
			return agent.GetVbucketSeqnos(i, memd.VbucketStateActive, gocbcore.GetVbucketSeqnoOptions{},
				func(entries []gocbcore.VbSeqNoEntry, err error) {
					for _, e := range entries {
						high[e.VbID] = uint64(e.SeqNo)
					}
					done(err)
				})
		})
		if err != nil {
			return nil, err
		}
	}
	return high, nil
}

func failoverLog(agent *gocbcore.DCPAgent, vb uint16) (log []gocbcore.FailoverEntry, err error) {
	err = wait(func(done func(error)) (gocbcore.PendingOp, error) {
		return agent.GetFailoverLog(vb, func(entries []gocbcore.FailoverEntry, err error) {
			log = entries
			done(err)
		})
	})
	return
}

type position struct {
	uuid             gocbcore.VbUUID
	start, end       uint64
	snapFrom, snapTo uint64
}

func open(agent *gocbcore.DCPAgent, vb uint16, p position, o *observer,
	options gocbcore.OpenStreamOptions) (log []gocbcore.FailoverEntry, err error) {
	err = wait(func(done func(error)) (gocbcore.PendingOp, error) {
		return agent.OpenStream(vb, memd.DcpStreamAddFlagActiveOnly, p.uuid, gocbcore.SeqNo(p.start),
			gocbcore.SeqNo(p.end), gocbcore.SeqNo(p.snapFrom), gocbcore.SeqNo(p.snapTo), o, options,
			func(entries []gocbcore.FailoverEntry, err error) {
				log = entries
				done(err)
			})
	})
	return
}

const endless = ^uint64(0)

func streamChecks(s *store, connstr, user, password, bucket string, want map[string]string) {
	flags := memd.DcpOpenFlagProducer | memd.DcpOpenFlagIncludeDeleteTimes
	var agent *gocbcore.DCPAgent
	var high map[uint16]uint64
	check("login of the DCP agent", func() (err error) {
		agent, err = openDCP(connstr, user, password, bucket, "weir-clients:all", flags, nil)
		return
	})
	if agent == nil {
		return
	}
	defer agent.Close()
	check("sequence numbers of every vBucket", func() error {
		return until(func() (err error) { // the last of the short-lived may still be there
			high, err = highSeqnos(agent)
			total := uint64(0)
			for _, seqno := range high {
				total += seqno
			}
			if err != nil {
				return err
			}
			return expect(total == documents+deleted+2*expired, "%d changes", total)
		})
	})
	o := newObserver()
	logs := map[uint16][]gocbcore.FailoverEntry{}
	check("streams of every vBucket open", func() error {
		for vb := range high {
			log, err := open(agent, vb, position{end: endless}, o, gocbcore.OpenStreamOptions{})
			if err != nil {
				return fmt.Errorf("vb %d: %w", vb, err)
			}
			logs[vb] = log
		}
		return nil
	})
	check("every change that was there arrives", func() error {
		return until(func() error { return o.is(want, deleted, expired) })
	})
	check("every change made meanwhile arrives", func() error {
		for i := 0; i < documents; i++ {
			key, value := fmt.Sprintf("live-%d", i%200), fmt.Sprintf(`{"live":%d}`, i)
			if _, err := s.set("", "", key, value, 0); err != nil {
				return err
			}
			want[key] = value
		}
		return until(func() error { return o.is(want, deleted, expired) })
	})
	check("sequence numbers rise within their snapshots", func() error { return o.wrong() })
	check("failover logs", func() error {
		for vb := range high {
			log, err := failoverLog(agent, vb)
			if err != nil {
				return err
			}
			if len(log) == 0 || len(log) != len(logs[vb]) || log[0] != logs[vb][0] {
				return fmt.Errorf("vb %d: %v is not %v", vb, log, logs[vb])
			}
		}
		return nil
	})
	check("observe", func() error { return observeChecks(s, logs) })
	check("system events of scopes and collections", func() error { return systemEvents(s, o, len(high)) })
	check("a finite stream ends at its end", func() error { return finite(agent, s, logs) })
	check("a resumed stream sends only what follows", func() error { return resumed(agent, o, logs) })
	check("an unknown branch is rolled back", func() error {
		vb, at := o.busiest()
		err := reopen(agent, vb, position{uuid: 12345, start: at, end: endless, snapFrom: at, snapTo: at}, newObserver())
		var rollback gocbcore.DCPRollbackError
		return expect(errors.As(err, &rollback) && rollback.SeqNo == 0, "%v", err)
	})
	check("stream ids: two filtered streams of one vBucket", func() error {
		return streamIDs(s, connstr, user, password, bucket, flags)
	})
	check("out-of-order snapshots begin and end", func() error {
		return outOfOrder(connstr, user, password, bucket, flags)
	})
	check("history of every version", func() error {
		return history(s, connstr, user, password, bucket, flags)
	})
}

func observeChecks(s *store, logs map[uint16][]gocbcore.FailoverEntry) error {
	for vb, log := range logs {
		err := until(func() error {
			r, err := s.observe(vb, log[0].VbUUID)
			if err != nil {
				return err
			}
			return expect(!r.DidFailover && r.VbUUID == log[0].VbUUID && r.PersistSeqNo == r.CurrentSeqNo, "%+v", r)
		})
		if err != nil {
			return fmt.Errorf("vb %d: %w", vb, err)
		}
	}
	_, err := s.observe(0, 4711)
	return expect(err != nil, "an unknown uuid is accepted")
}

func systemEvents(s *store, o *observer, vbs int) error {
	steps := []struct {
		method, path, name string
		got                func() int
	}{
		{"POST", "", "shop", func() int { return o.count.scopes }},
		{"POST", "/shop/collections", "orders", func() int { return o.count.collections }},
		{"DELETE", "/shop/collections/orders", "", func() int { return o.count.dropped }},
		{"DELETE", "/shop", "", func() int { return o.count.scopesDropped }},
	}
	for _, step := range steps {
		if err := s.manage(step.method, step.path, url.Values{"name": {step.name}}); err != nil {
			return fmt.Errorf("%s %s: %w", step.method, step.path, err)
		}
		err := until(func() error {
			o.mu.Lock()
			defer o.mu.Unlock()
			return expect(step.got() == vbs, "%s %s: %d of %d vBuckets", step.method, step.path, step.got(), vbs)
		})
		if err != nil {
			return err
		}
	}
	return nil
}

func finite(agent *gocbcore.DCPAgent, s *store, logs map[uint16][]gocbcore.FailoverEntry) error {
	token, err := s.set("", "", "finite", "1", 0)
	if err != nil {
		return err
	}
	o := newObserver()
	err = reopen(agent, token.VbID, position{end: uint64(token.SeqNo)}, o)
	if err != nil {
		return err
	}
	return until(func() error {
		o.mu.Lock()
		defer o.mu.Unlock()
		return expect(o.count.ends == 1 && o.values["finite"] == "1", "%+v", o.count)
	})
}

func resumed(agent *gocbcore.DCPAgent, all *observer, logs map[uint16][]gocbcore.FailoverEntry) error {
	vb, at := all.busiest()
	middle := at / 2
	o := newObserver()
	p := position{uuid: logs[vb][0].VbUUID, start: middle, end: at, snapFrom: middle, snapTo: middle}
	if err := reopen(agent, vb, p, o); err != nil {
		return err
	}
	return until(func() error {
		o.mu.Lock()
		defer o.mu.Unlock()
		return expect(o.count.ends == 1 && o.first > middle, "first %d after %d, %+v", o.first, middle, o.count)
	})
}

// reopen closes the stream of vb, if there is one, and opens another.
func reopen(agent *gocbcore.DCPAgent, vb uint16, p position, o *observer) error {
	_ = wait(func(done func(error)) (gocbcore.PendingOp, error) {
		return agent.CloseStream(vb, gocbcore.CloseStreamOptions{}, func(err error) { done(err) })
	})
	_, err := open(agent, vb, p, o, gocbcore.OpenStreamOptions{})
	return err
}

func streamIDs(s *store, connstr, user, password, bucket string, flags memd.DcpOpenFlag) error {
	agent, err := openDCP(connstr, user, password, bucket, "weir-clients:ids", flags,
		func(c *gocbcore.DCPAgentConfig) { c.DCPConfig.UseStreamID = true })
	if err != nil {
		return err
	}
	defer agent.Close()
	if err := s.manage("POST", "/_default/collections", url.Values{"name": {"second"}}); err != nil {
		return err
	}
	var id uint32
	err = wait(func(done func(error)) (gocbcore.PendingOp, error) {
		return s.agent.GetCollectionID("_default", "second", gocbcore.GetCollectionIDOptions{},
			func(r *gocbcore.GetCollectionIDResult, err error) {
				if err == nil {
					id = r.CollectionID
				}
				done(err)
			})
	})
	if err != nil {
		return err
	}
	token, err := s.set("", "", "same", "default", 0)
	if err != nil {
		return err
	}
	if _, err = s.set("_default", "second", "same", "second", 0); err != nil {
		return err
	}
	seen := map[string]*observer{}
	for i, coll := range []uint32{0, id} {
		o := newObserver()
		seen[[]string{"default", "second"}[i]] = o
		_, err := open(agent, token.VbID, position{end: endless}, o, gocbcore.OpenStreamOptions{
			FilterOptions: &gocbcore.OpenStreamFilterOptions{CollectionIDs: []uint32{coll}},
			StreamOptions: &gocbcore.OpenStreamStreamOptions{StreamID: uint16(7 + i)}})
		if err != nil {
			return err
		}
	}
	return until(func() error {
		for value, o := range seen {
			o.mu.Lock()
			got := o.values["same"]
			o.mu.Unlock()
			if got != value {
				return fmt.Errorf("the stream of %s has %q", value, got)
			}
		}
		return nil
	})
}

func outOfOrder(connstr, user, password, bucket string, flags memd.DcpOpenFlag) error {
	agent, err := openDCP(connstr, user, password, bucket, "weir-clients:oso", flags,
		func(c *gocbcore.DCPAgentConfig) { c.DCPConfig.UseOSOBackfill = true })
	if err != nil {
		return err
	}
	defer agent.Close()
	high, err := highSeqnos(agent)
	if err != nil {
		return err
	}
	o := newObserver()
	for vb := range high {
		if _, err := open(agent, vb, position{end: endless}, o, gocbcore.OpenStreamOptions{
			FilterOptions: &gocbcore.OpenStreamFilterOptions{CollectionIDs: []uint32{0}}}); err != nil {
			return err
		}
	}
	return until(func() error {
		o.mu.Lock()
		defer o.mu.Unlock()
		return expect(o.count.osoStarts == len(high) && o.count.osoEnds == len(high) &&
			len(o.values) >= documents-deleted, "%+v, %d documents", o.count, len(o.values))
	})
}

func history(s *store, connstr, user, password, bucket string, flags memd.DcpOpenFlag) error {
	agent, err := openDCP(connstr, user, password, bucket, "weir-clients:history", flags,
		func(c *gocbcore.DCPAgentConfig) { c.DCPConfig.UseChangeStreams = true })
	if err != nil {
		return err
	}
	defer agent.Close()
	var vb uint16
	for i := 0; i < 10; i++ {
		token, err := s.set("", "", "versions", fmt.Sprint(i), 0)
		if err != nil {
			return err
		}
		vb = token.VbID
	}
	o := newObserver()
	if _, err := open(agent, vb, position{end: endless}, o, gocbcore.OpenStreamOptions{}); err != nil {
		return err
	}
	return until(func() error {
		o.mu.Lock()
		defer o.mu.Unlock()
		return expect(o.versions["versions"] == 10, "%d versions", o.versions["versions"])
	})
}

// ---- what a stream says ----

type observer struct {
	mu       sync.Mutex
	values   map[string]string // default collection and others alike
	versions map[string]int
	gone     map[string]bool
	last     map[uint16]uint64
	snapshot map[uint16][2]uint64
	first    uint64
	oso      map[uint16]bool
	bad      error
	count    struct {
		deletions, expirations, scopes, collections, dropped, scopesDropped, ends, osoStarts, osoEnds int
	}
}

func newObserver() *observer {
	return &observer{values: map[string]string{}, versions: map[string]int{}, gone: map[string]bool{},
		last: map[uint16]uint64{}, snapshot: map[uint16][2]uint64{}, oso: map[uint16]bool{}}
}

func (o *observer) is(want map[string]string, deletions, expirations int) error {
	o.mu.Lock()
	defer o.mu.Unlock()
	for key, value := range want {
		if o.values[key] != value {
			return fmt.Errorf("%s is %q, not %q", key, o.values[key], value)
		}
	}
	return expect(len(o.values) == len(want) && o.count.deletions == deletions && o.count.expirations == expirations,
		"%d documents, %+v", len(o.values), o.count)
}

func (o *observer) wrong() error {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.bad
}

func (o *observer) busiest() (vb uint16, at uint64) {
	o.mu.Lock()
	defer o.mu.Unlock()
	for v, seqno := range o.last {
		if seqno > at {
			vb, at = v, seqno
		}
	}
	return
}

func (o *observer) saw(vb uint16, seqno uint64) {
	in := o.snapshot[vb]
	if !o.oso[vb] && (seqno <= o.last[vb] || seqno < in[0] || seqno > in[1]) {
		o.bad = fmt.Errorf("vb %d: seqno %d after %d in snapshot %v", vb, seqno, o.last[vb], in)
	}
	if o.first == 0 {
		o.first = seqno
	}
	o.last[vb] = seqno
}

func (o *observer) SnapshotMarker(m gocbcore.DcpSnapshotMarker) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.snapshot[m.VbID] = [2]uint64{m.StartSeqNo, m.EndSeqNo}
}

func (o *observer) Mutation(m gocbcore.DcpMutation) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.saw(m.VbID, m.SeqNo)
	o.values[string(m.Key)] = string(m.Value)
	o.versions[string(m.Key)]++
}

func (o *observer) Deletion(m gocbcore.DcpDeletion) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.saw(m.VbID, m.SeqNo)
	delete(o.values, string(m.Key))
	o.count.deletions++
}

func (o *observer) Expiration(m gocbcore.DcpExpiration) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.saw(m.VbID, m.SeqNo)
	delete(o.values, string(m.Key))
	o.count.expirations++
}

func (o *observer) bump(vb uint16, seqno uint64, counter *int) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.saw(vb, seqno)
	*counter++
}

func (o *observer) End(gocbcore.DcpStreamEnd, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.count.ends++
}

func (o *observer) CreateCollection(e gocbcore.DcpCollectionCreation) {
	o.bump(e.VbID, e.SeqNo, &o.count.collections)
}
func (o *observer) DeleteCollection(e gocbcore.DcpCollectionDeletion) {
	o.bump(e.VbID, e.SeqNo, &o.count.dropped)
}
func (o *observer) CreateScope(e gocbcore.DcpScopeCreation) {
	o.bump(e.VbID, e.SeqNo, &o.count.scopes)
}
func (o *observer) DeleteScope(e gocbcore.DcpScopeDeletion) {
	o.bump(e.VbID, e.SeqNo, &o.count.scopesDropped)
}
func (o *observer) FlushCollection(gocbcore.DcpCollectionFlush)         {}
func (o *observer) ModifyCollection(gocbcore.DcpCollectionModification) {}
func (o *observer) SeqNoAdvanced(gocbcore.DcpSeqNoAdvanced)             {}

func (o *observer) OSOSnapshot(e gocbcore.DcpOSOSnapshot) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.oso[e.VbID] = e.SnapshotType == 1
	if e.SnapshotType == 1 {
		o.count.osoStarts++
	} else {
		o.count.osoEnds++
	}
}
