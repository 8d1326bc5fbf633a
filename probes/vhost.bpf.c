/* vhost-net in the kernel: the worker threads of one QEMU (drivers/vhost/net.c, drivers/net/tun.c).
 *
 * A worker is one thread for one pair of queues, so the buffers that it returns belong to the direction of its work:
 * the last of handle_tx*, handle_rx*, tun_sendmsg and tun_recvmsg determines it. Frames are passed to tun in
 * batches; the batch's size is in the message. VHOST_* are made from vhost.py.
 */
#include <linux/socket.h>

/* struct tun_msg_ctl of include/linux/if_tun.h, Linux 4.20 to 6.x. That header takes longer to compile than all
 * programs of qtrace; a message that does not look like a batch of vhost is counted as lost. */
struct tun_batch {
    u16 type;
    u16 num;
};
#define TUN_BATCH 2
#define MOST_IN_BATCH 64

BPF_ARRAY(vhost_slots, u32, SIDE_INDEX_SIZE); /* SIDE_INDEX of VHOST_* -> slot + 1 */
BPF_HASH(vhost_direction, u32, u8, 64);
BPF_HASH(vhost_received, u32, u64, 64); /* thread -> frames received and not yet given to the guest */

/* The worker's owner, NULL in any other thread or while counting is off. */
static __always_inline u32 *in_worker(void) {
    u32 zero = 0, thread = bpf_get_current_pid_tgid();
    struct target *target = targets.lookup(&zero);
    if (!target || !(target->running & COUNTS_FUNCTIONS))
        return 0;
    u32 *owner = vhost_workers.lookup(&thread);
    if (owner)
        hit();
    return owner;
}

static __always_inline void vhost_passed(u32 *owner, u32 which, u8 direction, u64 frames, u64 bytes) {
    u32 index = SIDE_INDEX(which, direction & 1);
    u32 *slot = vhost_slots.lookup(&index);
    if (slot && *slot)
        passed(*slot - 1, *owner, frames, bytes);
}

static __always_inline void vhost_turn(u8 direction) {
    u32 thread = bpf_get_current_pid_tgid();
    vhost_direction.update(&thread, &direction);
}

int on_handle_tx_kick(struct pt_regs *ctx) {
    u32 *owner = in_worker();
    if (owner) {
        vhost_turn(TX);
        vhost_passed(owner, VHOST_KICK, TX, 0, 0);
    }
    return 0;
}

/* tun_sendmsg(socket, message, length) */
int on_tun_sendmsg(struct pt_regs *ctx) {
    u32 *owner = in_worker();
    if (!owner)
        return 0;
    struct msghdr *message = (struct msghdr *)PT_REGS_PARM2(ctx);
    void *control = 0;
    struct tun_batch batch = {};
    u64 frames = 1;
    bpf_probe_read_kernel(&control, sizeof(control), &message->msg_control);
    if (control && !bpf_probe_read_kernel(&batch, sizeof(batch), control) && batch.type == TUN_BATCH)
        frames = batch.num;
    if (frames > MOST_IN_BATCH)
        lose(LOST_READ);
    vhost_turn(TX);
    vhost_passed(owner, VHOST_TUN, TX, frames, PT_REGS_PARM3(ctx));
    return 0;
}

/* tun_recvmsg(socket, message, length, flags): one frame; length is the capacity of the buffers. */
int on_tun_recvmsg(struct pt_regs *ctx) {
    u32 *owner = in_worker();
    if (!owner)
        return 0;
    u32 thread = bpf_get_current_pid_tgid();
    u64 *waiting = vhost_received.lookup(&thread), one = 1;
    if (waiting)
        *waiting += 1;
    else
        vhost_received.update(&thread, &one);
    vhost_turn(RX);
    vhost_passed(owner, VHOST_TUN, RX, 1, PT_REGS_PARM3(ctx));
    return 0;
}

/* vhost_add_used_and_signal_n(device, vq, heads, count): a sent head is a frame; a received large frame has several
 * heads, so the frames received since the call before are counted. */
int on_vhost_used(struct pt_regs *ctx) {
    u32 thread = bpf_get_current_pid_tgid();
    u8 *direction = vhost_direction.lookup(&thread);
    u64 frames = (u32)PT_REGS_PARM4(ctx);
    u32 *owner = in_worker();
    if (!owner || !direction)
        return 0;
    if (*direction == RX) {
        u64 *waiting = vhost_received.lookup(&thread);
        frames = 0;
        if (waiting) {
            frames = *waiting;
            *waiting = 0;
        }
    }
    vhost_passed(owner, VHOST_USED, *direction, frames, 0);
    return 0;
}

/* eventfd_signal, eventfd_signal_mask in the worker: the guest is interrupted. */
int on_vhost_signal(struct pt_regs *ctx) {
    u32 thread = bpf_get_current_pid_tgid();
    u8 *direction = vhost_direction.lookup(&thread);
    u32 *owner = in_worker();
    if (owner && direction)
        vhost_passed(owner, VHOST_SIGNAL, *direction, 0, 0);
    return 0;
}
