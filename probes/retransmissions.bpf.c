/* Retransmissions of libslirp's TCP: calls of tcp_output (src/tcp_output.c), distinguished by the caller and by the
 * connection's state. Only libslirp's timers and its input reset the next sequence number to the unacknowledged one.
 *
 * AGAIN_* are made from the instrument retransmissions.
 */

#define FAST_THRESHOLD 3 /* TCPREXMTTHRESH: duplicate ACKs */

/* The bodies that call it, in the process; offsets are bytes in struct tcpcb and struct socket. */
struct tcp_offsets {
    u64 timers_begin, timers_end;
    u64 input_begin, input_end;
    u16 timer; /* tcpcb.t_timer, whose first element is the retransmission timer */
    u16 dupacks;
    u16 force;
    u16 una, nxt, max;
    u16 socket;
    u16 slirp; /* socket.slirp */
};

BPF_ARRAY(tcp_layout, struct tcp_offsets, 1);
BPF_PERCPU_ARRAY(retransmissions, struct tally, AGAIN_INDEX_SIZE);

int on_tcp_output(struct pt_regs *ctx) {
    struct target *target = traced();
    u32 zero = 0, una = 0, nxt = 0, max = 0;
    u64 from = 0, tcb = PT_REGS_PARM1(ctx), socket = 0, slirp = 0;
    short timer = 0, dupacks = 0;
    u8 force = 0;
    struct tcp_offsets *layout = tcp_layout.lookup(&zero);
    if (!target || !layout)
        return 0;
    if (bpf_probe_read_user(&from, sizeof(from), (void *)PT_REGS_SP(ctx))) {
        lose(LOST_READ);
        return 0;
    }
    u32 timers = from >= layout->timers_begin && from < layout->timers_end;
    if (!timers && (from < layout->input_begin || from >= layout->input_end))
        return 0;
    if (bpf_probe_read_user(&timer, sizeof(timer), (void *)(tcb + layout->timer)) ||
        bpf_probe_read_user(&dupacks, sizeof(dupacks), (void *)(tcb + layout->dupacks)) ||
        bpf_probe_read_user(&force, sizeof(force), (void *)(tcb + layout->force)) ||
        bpf_probe_read_user(&una, sizeof(una), (void *)(tcb + layout->una)) ||
        bpf_probe_read_user(&nxt, sizeof(nxt), (void *)(tcb + layout->nxt)) ||
        bpf_probe_read_user(&max, sizeof(max), (void *)(tcb + layout->max)) ||
        bpf_probe_read_user(&socket, sizeof(socket), (void *)(tcb + layout->socket)) ||
        bpf_probe_read_user(&slirp, sizeof(slirp), (void *)(socket + layout->slirp))) {
        lose(LOST_READ);
        return 0;
    }
    u32 kind = AGAIN_TIMEOUT;
    if (timers && force)
        kind = AGAIN_PROBE;
    else if (nxt != una || (s32)(nxt - max) >= 0)
        return 0;
    else if (!timers && (dupacks != FAST_THRESHOLD || timer))
        return 0;
    else if (!timers)
        kind = AGAIN_FAST;
    u32 index = AGAIN_INDEX(owner_of(slirp), kind);
    struct tally *tally = retransmissions.lookup(&index);
    if (tally)
        lock_xadd(&tally->calls, 1);
    return 0;
}
