/* What every probe shares: the target, where its hits are counted, and how a passage is timed.
 *
 * Everything is aggregated here, in the kernel: one array slot a stage, one log2 histogram an edge.
 * No event leaves the kernel for a frame. Additions are atomic: since Linux 6.x a uprobe's program can
 * be preempted in the middle, and an exact count must not lose one.
 */
#include <uapi/linux/ptrace.h>

#define NO_SLOT 0xff
#define TX 0
#define RX 1

/* Index of the `lost` array; the names are in qtrace/trace/snapshot.py. */
enum { LOST_READ, LOST_IOVEC, LOST_EDGES, LOST_THREADS, LOST_SYSCALLS, LOST_KINDS };

/* What is counted now: bits of `target.running`. Kept equal to qtrace/trace/session.py. */
#define COUNTS_CALLS 1     /* system calls and the kernel's side */
#define COUNTS_FUNCTIONS 2 /* QEMU's functions: not while their probes are off, or not all on yet */

/* The one process that is traced. Offsets are bytes into QEMU's structures, from the source index. */
struct target {
    u32 tgid;
    u32 worker; /* thread id of the vhost worker, 0 without one */
    u32 running;
    u16 client_info;   /* NetClientState.info */
    u16 info_type;     /* NetClientInfo.type */
    u16 queue_device;  /* VirtQueue.vdev */
    u16 queue_index;   /* VirtQueue.queue_index */
    u16 queue_kick;    /* VirtQueue.host_notifier */
    u16 device_id;     /* VirtIODevice.device_id */
    u16 element_out;   /* VirtQueueElement.out_num */
    u16 element_in;    /* VirtQueueElement.in_num */
    u16 driver_nic;    /* the value of NET_CLIENT_DRIVER_NIC */
};

struct count {
    u64 calls;
    u64 frames;
    u64 bytes;
};

/* Where a slot stands on its path; slots of one direction are ordered by position. */
struct place {
    u8 direction;
    u8 position;
};

struct seen {
    u64 when;
    u8 slot;
    u8 position;
};

BPF_ARRAY(targets, struct target, 1);
BPF_ARRAY(places, struct place, 64);
BPF_PERCPU_ARRAY(counts, struct count, 64);
BPF_PERCPU_ARRAY(lost, u64, 16);
BPF_PERCPU_ARRAY(hits, u64, 1); /* of all functions: what probing costs is worked out from it */
BPF_PERCPU_HASH(edges, u32, u64, 8192);
BPF_HASH(latest, u64, struct seen, 4096);
BPF_ARRAY(last_way, u32, 1); /* direction of the process's last passage + 1, 0 before the first */

static __always_inline void lose(u32 kind) {
    u64 *value = lost.lookup(&kind);
    if (value)
        lock_xadd(value, 1);
}

/* The target if this is one of its threads and `what` is counted now, else NULL. */
static __always_inline struct target *counted(u32 what) {
    u32 zero = 0;
    struct target *target = targets.lookup(&zero);
    if (!target || !(target->running & what))
        return 0;
    if (target->tgid != bpf_get_current_pid_tgid() >> 32)
        return 0;
    return target;
}

/* The same at a function of QEMU. */
static __always_inline struct target *traced(void) {
    u32 zero = 0;
    struct target *target = counted(COUNTS_FUNCTIONS);
    u64 *hit = target ? hits.lookup(&zero) : 0;
    if (hit)
        lock_xadd(hit, 1);
    return target;
}

static __always_inline u32 log2_of(u64 value) {
    u32 result = 0;
    if (value >> 32) { value >>= 32; result += 32; }
    if (value >> 16) { value >>= 16; result += 16; }
    if (value >> 8) { value >>= 8; result += 8; }
    if (value >> 4) { value >>= 4; result += 4; }
    if (value >> 2) { value >>= 2; result += 2; }
    return result + (value >> 1 ? 1 : 0);
}

/* Count one hit of a stage, and the time since the last stage of that direction on this thread. */
static __always_inline void passed(u32 slot, u64 frames, u64 bytes) {
    struct count *count = counts.lookup(&slot);
    struct place *place = places.lookup(&slot);
    if (!count || !place)
        return;
    lock_xadd(&count->calls, 1);
    if (frames)
        lock_xadd(&count->frames, frames);
    if (bytes)
        lock_xadd(&count->bytes, bytes);

    u32 zero = 0, way = place->direction + 1;
    last_way.update(&zero, &way);

    u64 now = bpf_ktime_get_ns();
    u64 key = (u64)(u32)bpf_get_current_pid_tgid() << 1 | place->direction;
    struct seen *before = latest.lookup(&key);
    if (!before) {
        struct seen first = {.when = now, .slot = slot, .position = place->position};
        if (latest.update(&key, &first))
            lose(LOST_THREADS);
        return;
    }
    if (before->position < place->position) {
        u32 edge = (u32)before->slot << 16 | slot << 8 | log2_of(now - before->when);
        u64 *passages = edges.lookup(&edge);
        if (passages) {
            lock_xadd(passages, 1);
        } else {
            u64 one = 1;
            if (edges.update(&edge, &one))
                lose(LOST_EDGES);
        }
    }
    before->when = now;
    before->slot = slot;
    before->position = place->position;
}
