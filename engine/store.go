package engine

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"aviso.example/apns"
)

// StoreConfig says where the log is: in a folder of this machine, or on a NATS
// cluster.
type StoreConfig struct {
	// Dir is the data folder. Embedded, the whole log lives in it; with URLs it
	// holds the read index only, which can be rebuilt. One process uses a
	// folder at a time.
	Dir string
	// MaxBytes bounds the embedded log on disk; 0 means four fifths of what is
	// free, or taken by it already, when the engine starts. When notifications
	// have taken their part of it, Submit fails with ErrFull and nothing is lost.
	MaxBytes int64

	// URLs are the NATS servers of a cluster, separated by commas. Their
	// JetStream has to sync every write (sync_interval: always), or what was
	// accepted may be lost when machines lose power.
	URLs string
	// CredentialsFile authenticates against the cluster.
	CredentialsFile string
	TLS             *tls.Config
	// Replicas is how many servers hold each message; 0 means 3.
	Replicas int
}

// Names on the log. Everything begins with AVISO_, so that a cluster can be
// shared with others.
const (
	streamPrefix   = "AVISO_"
	queuePrefix    = streamPrefix + "Q_" // and the lane, and the app
	batchStream    = streamPrefix + "B_" // and the batch
	streamVerdicts = streamPrefix + "VERDICTS"
	streamLater    = streamPrefix + "LATER"
	streamBuried   = streamPrefix + "BURIED"
	streamDead     = streamPrefix + "DEAD"
	bucketControl  = streamPrefix + "CONTROL" // apps that are paused
	bucketBatches  = bucketControl + "_BATCHES"
	bucketCancels  = bucketControl + "_CANCELS"
	bucketClaims   = bucketControl + "_CLAIMS"

	subjectVerdicts = "aviso.verdicts"
	subjectLater    = "aviso.later." // see laterSubject
	subjectDue      = "aviso.due"
	subjectBuried   = "aviso.buried." // and the app
	subjectDead     = "aviso.dead."   // and the app
)

// controlBuckets hold what people have decided.
var controlBuckets = []string{bucketControl, bucketBatches, bucketCancels}

const (
	// storeTimeout bounds one request to the log. A disk that takes longer is
	// as good as full: Submit reports it, and nothing is acknowledged.
	storeTimeout = 10 * time.Second
	// startTimeout bounds recovery of an embedded log: ten million queued
	// notifications take a few seconds from a cold disk.
	startTimeout = 2 * time.Minute
	// maxLogMessage is the largest message on the log, in bytes: a full chunk
	// or verdict record with room to spare.
	maxLogMessage = 2 << 20
	// maxPendingOut bounds what the embedded server holds for one slow reader.
	maxPendingOut = 64 << 20
)

// store is the log.
type store struct {
	jetstream.JetStream
	conn     *nats.Conn
	inside   *inside // nil on a cluster
	dir      string
	lock     *os.File
	replicas int
	// What was damaged when the embedded log was opened.
	damagedStreams, damagedConsumers []string
	lostRecords                      map[string]int // by stream

	written atomic.Uint64 // messages, by this process
	log     *slog.Logger
}

func openStore(ctx context.Context, cfg StoreConfig, log *slog.Logger) (_ *store, err error) {
	s := &store{replicas: 1, dir: cfg.Dir, log: log}
	defer func() {
		if err != nil {
			s.close()
		}
	}()
	if cfg.Dir == "" {
		return nil, errors.New("engine: Config.Store.Dir is missing: the folder that holds the queue")
	}
	if err := os.MkdirAll(cfg.Dir, 0o700); err != nil {
		return nil, fmt.Errorf("engine: %w", err)
	}
	if s.lock, err = lockDir(cfg.Dir); err != nil {
		return nil, err
	}
	options := []nats.Option{
		nats.Name("aviso"), nats.MaxReconnects(-1), nats.ReconnectWait(200 * time.Millisecond),
		nats.ErrorHandler(func(_ *nats.Conn, _ *nats.Subscription, err error) { log.Warn("log", "error", discreet(cfg.URLs, err)) }),
	}
	if cfg.URLs == "" {
		if s.damagedStreams, s.damagedConsumers, err = inspect(cfg.Dir); err == nil {
			s.lostRecords, err = repair(cfg.Dir)
		}
		if err != nil {
			return nil, fmt.Errorf("engine: the log cannot be looked through: %w", err)
		}
		if s.inside, err = embed(cfg, log); err != nil {
			return nil, err
		}
		// What is published between two servers would be written when nobody
		// waits for it any more.
		options = append(options, nats.InProcessServer(s.inside), nats.ReconnectBufSize(-1),
			nats.ReconnectHandler(func(*nats.Conn) { s.inside.giveUp() }))
	} else {
		s.replicas = cfg.Replicas
		if s.replicas == 0 {
			s.replicas = 3
		}
		options = append(options,
			nats.DisconnectErrHandler(func(_ *nats.Conn, err error) {
				if err != nil { // it was not this end that left
					log.Warn("disconnected from the log", "error", discreet(cfg.URLs, err))
				}
			}),
			nats.ReconnectHandler(func(c *nats.Conn) { log.Info("connected to the log again", "server", c.ConnectedServerName()) }))
		if cfg.CredentialsFile != "" {
			options = append(options, nats.UserCredentials(cfg.CredentialsFile))
		}
		if cfg.TLS != nil {
			options = append(options, nats.Secure(cfg.TLS))
		}
	}
	if s.conn, err = connect(ctx, cfg.URLs, options); err != nil {
		return nil, fmt.Errorf("engine: no connection to the log at %s: %w", hosts(cfg.URLs), discreet(cfg.URLs, err))
	}
	if s.JetStream, err = jetstream.New(s.conn, jetstream.WithDefaultTimeout(storeTimeout)); err != nil {
		return nil, fmt.Errorf("engine: %w", err)
	}
	if err = persist(ctx, func(ctx context.Context) error { _, err := s.AccountInfo(ctx); return err }); err != nil {
		return nil, fmt.Errorf("engine: JetStream does not answer; is it enabled on the servers at %s? %w", hosts(cfg.URLs), discreet(cfg.URLs, err))
	}
	return s, nil
}

// connectPatience is for how long nobody may be there: the servers of a cluster can
// just be starting, as this one is.
const connectPatience = 10 * time.Second

// connect connects to the log.
func connect(ctx context.Context, urls string, options []nats.Option) (conn *nats.Conn, err error) {
	ctx, cancel := context.WithTimeout(ctx, connectPatience)
	defer cancel()
	for {
		if conn, err = nats.Connect(urls, options...); !errors.Is(err, nats.ErrNoServers) || ctx.Err() != nil {
			return conn, err
		}
		pause(ctx, troublePause)
	}
}

// runningFile is in a folder while an engine uses it, and after a crash.
const runningFile = "running"

// begin notes that an engine uses the folder, and reports whether the one before did
// not come to an orderly end.
func (s *store) begin() (crashed bool, err error) {
	path := filepath.Join(s.dir, runningFile)
	if _, err := os.Stat(path); err == nil {
		return true, nil
	}
	return false, os.WriteFile(path, nil, 0o600)
}

// nameFile has the name of the engine that uses a folder: one that is started again is
// the same among others, and need not be missed first.
const nameFile = "name"

// engineName returns the name that an engine has on a cluster.
func (s *store) engineName() (string, error) {
	path := filepath.Join(s.dir, nameFile)
	if text, err := os.ReadFile(path); err == nil {
		if id, err := apns.ParseID(string(text)); err == nil {
			return id.String(), nil
		}
	}
	name := apns.NewID().String()
	return name, replaceFile(path, []byte(name))
}

// endedWell notes that it came to an orderly end.
func (s *store) endedWell() {
	if err := os.Remove(filepath.Join(s.dir, runningFile)); err != nil && !errors.Is(err, fs.ErrNotExist) {
		s.log.Warn("the next start will take this end for a crash", "error", err)
	}
}

// dirBytes is the size of all files in a folder that may be missing.
func dirBytes(dir string) (sum int64, err error) {
	err = filepath.WalkDir(dir, func(_ string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		info, err := d.Info()
		if err == nil {
			sum += info.Size()
		}
		return err
	})
	if errors.Is(err, fs.ErrNotExist) {
		err = nil
	}
	return sum, err
}

// embedded says that no other engine uses the log.
func (s *store) embedded() bool { return s.inside != nil }

// limit is how large an embedded log may get, in bytes.
func (s *store) limit() int64 { return s.inside.most }

// used is how large the log is.
func (s *store) used(ctx context.Context) (int64, error) {
	info, err := s.AccountInfo(ctx)
	if err != nil {
		return 0, storeError(err)
	}
	return int64(info.Store), nil
}

func (s *store) close() {
	if s.conn != nil {
		s.conn.Close()
	}
	if s.inside != nil {
		s.inside.close()
	}
	if s.lock != nil {
		s.lock.Close()
	}
}

// turn ends when the log is opened again: what it had been asked before is
// forgotten, so whoever waits for that waits in vain.
func (s *store) turn() context.Context {
	if s.inside == nil {
		return context.Background() // a cluster is never opened again
	}
	return s.inside.present()
}

// wait returns a context that ends with the turn.
func (s *store) wait(ctx context.Context) (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithCancelCause(ctx)
	stop := context.AfterFunc(s.turn(), func() { cancel(errGivenUp) })
	return ctx, func() { stop(); cancel(nil) }
}

// stream makes sure that a stream is there and as this version wants it.
func (s *store) stream(ctx context.Context, cfg jetstream.StreamConfig) (jetstream.Stream, error) {
	cfg.Storage, cfg.Replicas, cfg.MaxMsgSize = jetstream.FileStorage, s.replicas, maxLogMessage
	// On a cluster any replica answers a direct read, also one that lags behind
	// and does not have yet what was confirmed: a verdict that is not seen is a
	// notification sent again.
	cfg.AllowDirect = cfg.AllowDirect && s.embedded()
	var stream jetstream.Stream
	err := persist(ctx, func(ctx context.Context) (err error) {
		stream, err = s.CreateOrUpdateStream(ctx, cfg)
		return err
	})
	if cfg.MaxBytes > 0 && isCode(err, noSuitablePeers, noStorage) && !isAway(err) {
		return nil, fmt.Errorf("engine: Config.VerdictBytes is %d, which %d servers of the cluster have to set aside, each in its jetstream max_file: %w", cfg.MaxBytes, s.replicas, err)
	} else if err != nil {
		return nil, fmt.Errorf("engine: stream %s: %w", cfg.Name, err)
	}
	return stream, nil
}

// How servers of a cluster, or a single one, say that there is no room for what a stream
// may grow to.
const (
	noSuitablePeers jetstream.ErrorCode = 10005
	noStorage       jetstream.ErrorCode = 10047
)

// isAway says that a cluster knows of too few servers for something that it should make.
// It says so, too, of one that began a moment ago, until it has heard of the others.
func isAway(err error) bool {
	e, ok := errors.AsType[*jetstream.APIError](err)
	return ok && e.ErrorCode == noSuitablePeers && strings.Contains(e.Description, "peer offline")
}

// bucket makes sure that a bucket is there and as this version wants it.
func (s *store) bucket(ctx context.Context, name string, age time.Duration) (kv jetstream.KeyValue, err error) {
	err = persist(ctx, func(ctx context.Context) (err error) {
		kv, err = s.CreateOrUpdateKeyValue(ctx, jetstream.KeyValueConfig{Bucket: name, TTL: age, Replicas: s.replicas, Storage: jetstream.FileStorage})
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("engine: bucket %s: %w", name, err)
	}
	return kv, nil
}

const (
	// askAgainAfter is when the log is asked again for something that it should
	// make. Servers of a cluster that are asked for the same thing by two at the
	// same moment have been seen to answer neither, and to answer at once when they
	// are asked again.
	askAgainAfter = 500 * time.Millisecond
	maxAskAgain   = 6 * time.Second
	// patience bounds it, also where the caller does not: that is how long servers
	// may take that have just begun to agree on a leader.
	patience = 40 * time.Second
)

// persist asks the log for something that can be asked for again, until it answers
// or ctx is done.
func persist(ctx context.Context, ask func(context.Context) error) error {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	for wait := askAgainAfter; ; wait = min(2*wait, maxAskAgain) {
		once, cancel := context.WithTimeout(ctx, wait)
		err := ask(once)
		cancel()
		if err == nil || !errors.Is(storeError(err), ErrStore) || ctx.Err() != nil {
			return err
		}
		pause(ctx, staleRead)
	}
}

// Errors of Submit that are the log's and not the caller's.
var (
	// ErrFull: the log has reached its size or the disk is full. It passes when
	// notifications have been sent or space was made.
	ErrFull = errors.New("the queue is full")
	// ErrBusy: more is being handed in than the log can write. Try again.
	ErrBusy = errors.New("too much is being handed in at once")
	// ErrStore: the log did not answer in time. Whether the notifications are on
	// it is not known.
	ErrStore = errors.New("the log did not confirm in time")
	// ErrClosed: the engine is closed or closing.
	ErrClosed = errors.New("the engine is closed")
)

// isCode reports whether JetStream has answered with one of some codes.
func isCode(err error, codes ...jetstream.ErrorCode) bool {
	e, ok := errors.AsType[*jetstream.APIError](err)
	return ok && slices.Contains(codes, e.ErrorCode)
}

// put writes one message to the log and returns when it is on the disk.
func (s *store) put(ctx context.Context, subject string, data []byte, options ...jetstream.PublishOpt) (uint64, error) {
	return s.putMsg(ctx, &nats.Msg{Subject: subject, Data: data}, options...)
}

func (s *store) putMsg(ctx context.Context, msg *nats.Msg, options ...jetstream.PublishOpt) (uint64, error) {
	ctx, cancel := s.wait(ctx)
	defer cancel()
	s.written.Add(1)
	ack, err := s.PublishMsg(ctx, msg, options...)
	if cause := context.Cause(ctx); err != nil && errors.Is(cause, errGivenUp) {
		return 0, fmt.Errorf("%w: %w", ErrStore, cause)
	} else if err != nil {
		return 0, storeError(err)
	}
	return ack.Sequence, nil
}

// Codes of JetStream that mean "no room": the stream's bytes, the server's store,
// the account's.
var fullCodes = map[jetstream.ErrorCode]bool{10077: true, 10023: true, 10047: true, 10028: true, 10002: true}

// isGone says that a stream, or its consumer, is not there.
func isGone(err error) bool {
	return errors.Is(err, jetstream.ErrStreamNotFound) || errors.Is(err, jetstream.ErrConsumerNotFound)
}

// deleteMsg takes a message off a stream, if it is still there.
func deleteMsg(ctx context.Context, stream jetstream.Stream, seq uint64) error {
	err := stream.DeleteMsg(ctx, seq)
	if err == nil || errors.Is(err, jetstream.ErrMsgNotFound) {
		return nil
	}
	// JetStream has several words for what is gone, and for what others are just
	// deleting.
	if _, getErr := stream.GetMsg(ctx, seq); errors.Is(getErr, jetstream.ErrMsgNotFound) {
		return nil
	}
	return storeError(err)
}

func storeError(err error) error {
	if e, ok := errors.AsType[*jetstream.APIError](err); ok {
		if fullCodes[e.ErrorCode] {
			return fmt.Errorf("%w: %w", ErrFull, err)
		}
		if e.Code != 503 && !isAway(err) {
			return err
		}
		// A cluster without a leader, or without one of its servers, for the moment.
		return fmt.Errorf("%w: %w", ErrStore, err)
	}
	if errors.Is(err, nats.ErrConnectionClosed) {
		return fmt.Errorf("%w: %w", ErrClosed, err)
	}
	if errors.Is(err, nats.ErrTimeout) || errors.Is(err, context.DeadlineExceeded) || errors.Is(err, nats.ErrNoResponders) || errors.Is(err, jetstream.ErrNoStreamResponse) ||
		errors.Is(err, nats.ErrReconnectBufExceeded) {
		return fmt.Errorf("%w: %w", ErrStore, err)
	}
	return err
}
