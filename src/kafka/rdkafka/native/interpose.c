/*
 * Wraps a few functions of librdkafka that other files of librdkafka call (the linker's --wrap,
 * see build.rs), and asks interpose.rs whether they may continue. Whatever a Kafka cluster answers,
 * librdkafka then neither starts more threads nor holds more of its answers than interpose.rs
 * allows. Why: docs/decisions/0011.
 *
 * Every function here has the type of the function that it wraps, by __typeof__ and librdkafka's
 * own headers. If a new librdkafka declares one of them differently, or changes the layout of what
 * is read here, this either fails to compile or follows.
 */

#include <stdatomic.h>

#include "rd.h"
#include "rdkafka_int.h"
#include "rdkafka_broker.h"
#include "rdkafka_buf.h"
#include "rdkafka_metadata.h"
#include "rdkafka_request.h"
#include "rdkafka_transport.h"
#include "rdkafka_transport_int.h"

/* Weak: a binary that does not read Kafka is not linked with --wrap, and has nothing to call.
 * lagrange_is_bounded() reports which one it is. */
#define REAL(function) __real_##function
#define WRAPPED(function)                                                      \
        extern __typeof__(function) REAL(function) __attribute__((weak));      \
        __typeof__(function) __wrap_##function

WRAPPED(rd_buf_destroy);
WRAPPED(rd_kafka_broker_update);
WRAPPED(rd_kafka_ListGroupsRequest);
WRAPPED(rd_kafka_buf_new_shadow);
WRAPPED(rd_kafka_parse_Metadata_admin);
WRAPPED(rd_kafka_transport_framed_recv);
WRAPPED(rd_kafka_transport_recv);
WRAPPED(thrd_create);

/* What interpose.rs decides. A client is identified by its opaque, which is a number. Clients of
 * other code have a pointer there, or nothing, and are not limited. */
extern _Bool lagrange_admit_broker(void *client, int32_t id);
extern void lagrange_broker_not_added(void *client, _Bool for_want_of_a_thread);
extern void lagrange_thread_begins(void);
extern void lagrange_thread_ended(void *client_of_broker);
extern size_t lagrange_unbounded_frame(void);
extern size_t lagrange_largest_frame(void *client, int kind);
extern _Bool lagrange_admit_frame(void *client, const void *frame, size_t size, int kind);
extern void lagrange_frame_freed(const void *frame);

/* Result of lagrange_largest_frame(): the client is not limited. */
#define UNBOUNDED ((size_t)-1)

/* Kinds of answers: the API key of the request, except for these. */
#define UNSOLICITED (-1)
#define ALL_TOPICS (-2)

/* How long a connection waits before it asks again whether it may receive, in microseconds. */
#define PAUSE_US 10000

/* The largest login token outside of Kafka's own frames: a Kerberos token has at most 64 KiB. */
#define MAX_LOGIN_FRAME (64 * 1024)

_Bool lagrange_is_bounded(void) {
        return REAL(rd_buf_destroy) && REAL(rd_kafka_broker_update) &&
               REAL(rd_kafka_ListGroupsRequest) &&
               REAL(rd_kafka_buf_new_shadow) &&
               REAL(rd_kafka_parse_Metadata_admin) &&
               REAL(rd_kafka_transport_framed_recv) &&
               REAL(rd_kafka_transport_recv) && REAL(thrd_create);
}

/* ---- Brokers, and the thread that each of them has ---- */

/* The client for which this thread is about to start the thread of a new broker. */
static _Thread_local void *adding;

struct start {
        thrd_start_t main;
        void *arg;
        void *client_of_broker;
};

static int run(void *arg) {
        struct start start = *(struct start *)arg;
        int result;

        free(arg);
        result = start.main(start.arg);
        lagrange_thread_ended(start.client_of_broker);
        return result;
}

int __wrap_thrd_create(thrd_t *thread, thrd_start_t main, void *arg) {
        struct start *start = malloc(sizeof(*start));
        int result;

        if (!start)
                return thrd_nomem;
        start->main             = main;
        start->arg              = arg;
        start->client_of_broker = adding;
        lagrange_thread_begins();
        result = REAL(thrd_create)(thread, run, start);
        if (result == thrd_success) {
                /* From here on the new thread reports its own end. */
                adding = NULL;
        } else {
                lagrange_thread_ended(NULL);
                free(start);
        }
        return result;
}

static int nothing(void *arg) {
        (void)arg;
        return 0;
}

/* rd_kafka_broker_add() leaks a pipe and a broker if it cannot start a thread. */
static _Bool can_start_a_thread(void) {
        thrd_t thread;

        return REAL(thrd_create)(&thread, nothing, NULL) == thrd_success &&
               thrd_join(thread, NULL) == thrd_success;
}

static _Bool is_known(rd_kafka_t *rk, int32_t id) {
        rd_kafka_broker_t *rkb;

        rd_kafka_rdlock(rk);
        rkb = rd_kafka_broker_find_by_nodeid(rk, id);
        rd_kafka_rdunlock(rk);
        if (!rkb)
                return 0;
        rd_kafka_broker_destroy(rkb); /* gives back a reference */
        return 1;
}

/* Every broker in an answer passes through here. */
void __wrap_rd_kafka_broker_update(rd_kafka_t *rk,
                                   rd_kafka_secproto_t proto,
                                   const struct rd_kafka_metadata_broker *mdb,
                                   rd_kafka_broker_t **rkbp) {
        void *client = rd_kafka_opaque(rk);

        if (!is_known(rk, mdb->id)) {
                if (rkbp)
                        *rkbp = NULL;
                if (!lagrange_admit_broker(client, mdb->id))
                        return;
                if (!can_start_a_thread()) {
                        lagrange_broker_not_added(client, 1);
                        return;
                }
                adding = client;
        }
        REAL(rd_kafka_broker_update)(rk, proto, mdb, rkbp);
        if (adding) {
                adding = NULL;
                lagrange_broker_not_added(client, 0);
        }
}

/* ---- Metadata that DescribeCluster and DescribeTopics have asked for ---- */

/*
 * Both pass on the error in the answer, which says where it could not be read, and not the error
 * that this returns. An answer that can be read but not used, because it names neither a broker nor
 * a topic or reports another fault, has no error: they report success without a result, and
 * librdkafka aborts the process. While the client ends, this returns no result and no error.
 */
rd_kafka_resp_err_t
__wrap_rd_kafka_parse_Metadata_admin(rd_kafka_broker_t *rkb,
                                     rd_kafka_buf_t *rkbuf,
                                     rd_list_t *request_topics,
                                     rd_kafka_metadata_internal_t **mdip) {
        rd_kafka_resp_err_t err;

        *mdip = NULL;
        err   = REAL(rd_kafka_parse_Metadata_admin)(rkb, rkbuf,
                                                    request_topics, mdip);
        if (!err && !*mdip)
                err = RD_KAFKA_RESP_ERR__DESTROY;
        if (err && !rkbuf->rkbuf_err)
                rkbuf->rkbuf_err = err;
        return err;
}

/* ---- Groups: answers that would crash the process ---- */

/* The callback that librdkafka set for a list of groups. */
static _Atomic(rd_kafka_resp_cb_t *) told_of_list;

/* Whether an answer begins like a list of groups. Nothing is consumed. */
static _Bool begins_as_list(rd_kafka_buf_t *reply) {
        const int log_decode_errors = 0;
        rd_slice_t before           = reply->rkbuf_reader;
        rd_kafka_resp_err_t err     = reply->rkbuf_err;
        int32_t number;
        int16_t code;
        _Bool begins = 0;

        if (rd_kafka_buf_ApiVersion(reply) >= 1)
                rd_kafka_buf_read_i32(reply, &number); /* throttle time */
        rd_kafka_buf_read_i16(reply, &code);
        rd_kafka_buf_read_arraycnt(reply, &number, RD_KAFKAP_GROUPS_MAX);
        begins = 1;
err_parse:
        reply->rkbuf_reader = before;
        reply->rkbuf_err    = err;
        return begins;
}

static void on_list(rd_kafka_t *rk,
                    rd_kafka_broker_t *rkb,
                    rd_kafka_resp_err_t err,
                    rd_kafka_buf_t *reply,
                    rd_kafka_buf_t *request,
                    void *opaque) {
        if (!err && reply && !begins_as_list(reply))
                err = RD_KAFKA_RESP_ERR__BAD_MSG;
        atomic_load(&told_of_list)(rk, rkb, err, reply, request, opaque);
}

/* If ListConsumerGroups cannot read up to the number of groups, it writes to lists that it has not
 * allocated. */
rd_kafka_error_t *
__wrap_rd_kafka_ListGroupsRequest(rd_kafka_broker_t *rkb,
                                  int16_t max_ApiVersion,
                                  const char **states,
                                  size_t states_cnt,
                                  const char **types,
                                  size_t types_cnt,
                                  rd_kafka_replyq_t replyq,
                                  rd_kafka_resp_cb_t *resp_cb,
                                  void *opaque) {
        rd_kafka_resp_cb_t *before = NULL;

        /* The admin client always sets the same one. There is no other caller; its callback would
         * be left alone. */
        if (atomic_compare_exchange_strong(&told_of_list, &before, resp_cb) ||
            before == resp_cb)
                resp_cb = on_list;
        return REAL(rd_kafka_ListGroupsRequest)(
            rkb, max_ApiVersion, states, states_cnt, types, types_cnt, replyq,
            resp_cb, opaque);
}

/*
 * The assignment of a member, as the group's leader has written it. If it is too short for a
 * version number, DescribeConsumerGroups reports success without a result, and librdkafka aborts
 * the process. So it is replaced by an empty assignment of version 0.
 */
rd_kafka_buf_t *__wrap_rd_kafka_buf_new_shadow(const void *ptr,
                                               size_t size,
                                               void (*free_cb)(void *)) {
        static const char nothing[sizeof(int16_t) + sizeof(int32_t)];

        if (size < sizeof(int16_t) && !free_cb) {
                ptr  = nothing;
                size = sizeof(nothing);
        }
        return REAL(rd_kafka_buf_new_shadow)(ptr, size, free_cb);
}

/* ---- Frames: answers, which librdkafka receives whole before it reads them ---- */

static _Bool is_bounded(const rd_buf_t *rbuf) {
        return rbuf->rbuf_size > lagrange_unbounded_frame();
}

static int kind_of(const rd_kafka_broker_t *rkb, const rd_kafka_buf_t *rkbuf) {
        const rd_kafka_buf_t *request;

        TAILQ_FOREACH(request, &rkb->rkb_waitresps.rkbq_bufs, rkbuf_link) {
                if (request->rkbuf_corrid != rkbuf->rkbuf_reshdr.CorrId)
                        continue;
                return request->rkbuf_reqhdr.ApiKey == RD_KAFKAP_Metadata &&
                                       request->rkbuf_u.Metadata.all_topics
                           ? ALL_TOPICS
                           : request->rkbuf_reqhdr.ApiKey;
        }
        return UNSOLICITED;
}

/*
 * The memory of the frame is allocated by now but untouched: it takes none until it is filled. A
 * frame that never ends, or that waits too long, goes with its request: librdkafka closes the
 * connection when that times out.
 */
ssize_t __wrap_rd_kafka_transport_recv(rd_kafka_transport_t *rktrans,
                                       rd_buf_t *rbuf,
                                       char *errstr,
                                       size_t errstr_size) {
        const rd_kafka_broker_t *rkb = rktrans->rktrans_rkb;
        const rd_kafka_buf_t *rkbuf  = rkb->rkb_recv_buf;

        /* Frames of other kinds are rd_kafka_transport_framed_recv()'s. */
        if (rkbuf && rbuf == &rkbuf->rkbuf_buf && is_bounded(rbuf)) {
                void *client   = rd_kafka_opaque(rkb->rkb_rk);
                int kind       = kind_of(rkb, rkbuf);
                size_t largest = lagrange_largest_frame(client, kind);

                if (rbuf->rbuf_size > largest) {
                        /* The message that librdkafka has for a frame that is too large. */
                        if (kind == UNSOLICITED)
                                rd_snprintf(errstr, errstr_size,
                                            "Unsolicited answer of %" PRIusz
                                            " bytes",
                                            rbuf->rbuf_size);
                        else
                                rd_snprintf(errstr, errstr_size,
                                            "Invalid response size %" PRIusz
                                            " (0..%" PRIusz ")",
                                            rbuf->rbuf_size, largest);
                        return -1;
                }
                if (largest != UNBOUNDED &&
                    !lagrange_admit_frame(client, rbuf, rbuf->rbuf_size,
                                          kind)) {
                        rd_usleep(PAUSE_US, NULL);
                        return 0; /* as if nothing had come yet */
                }
        }
        return REAL(rd_kafka_transport_recv)(rktrans, rbuf, errstr,
                                             errstr_size);
}

/* The last use of a frame, whether it was read, was unusable, or its connection broke. */
void __wrap_rd_buf_destroy(rd_buf_t *rbuf) {
        if (is_bounded(rbuf))
                lagrange_frame_freed(rbuf);
        REAL(rd_buf_destroy)(rbuf);
}

/* Logins in the form from before Kafka 1.0, which any broker may ask for. */
int __wrap_rd_kafka_transport_framed_recv(rd_kafka_transport_t *rktrans,
                                          rd_kafka_buf_t **rkbufp,
                                          char *errstr,
                                          size_t errstr_size) {
        int result = REAL(rd_kafka_transport_framed_recv)(rktrans, rkbufp,
                                                          errstr, errstr_size);

        if (result == 0 && rktrans->rktrans_recv_buf &&
            rktrans->rktrans_recv_buf->rkbuf_totlen > MAX_LOGIN_FRAME) {
                rd_snprintf(errstr, errstr_size,
                            "Invalid frame size %" PRIusz,
                            rktrans->rktrans_recv_buf->rkbuf_totlen);
                return -1;
        }
        return result;
}
