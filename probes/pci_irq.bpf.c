/* pci_set_irq(device, level): the interrupt pin of a card without MSI (hw/pci/pci.c).
 *
 * Devices set the level again and again; a change from low to high is one interrupt. One pin serves both
 * directions, and a timer may raise it from another thread than the one that carried the frame: the
 * interrupt belongs to the direction whose stage the card's owner has passed last.
 */

BPF_ARRAY(pci_irq_slots, u32, SIDE_INDEX_SIZE); /* SIDE_INDEX of 0 -> slot + 1 */
BPF_HASH(irq_level, u64, u32, 1024);

int on_pci_set_irq(struct pt_regs *ctx) {
    u64 device = PT_REGS_PARM1(ctx);
    u32 level = (u32)PT_REGS_PARM2(ctx) != 0;
    struct target *target = traced();
    if (!target)
        return 0;
    u32 *before = irq_level.lookup(&device);
    u32 rises = level && (!before || !*before);
    irq_level.update(&device, &level);
    if (!rises)
        return 0;
    u32 owner = owner_of(device), direction;
    if (owner == UNKNOWN && target->owners) /* another device's pin */
        return 0;
    u32 *last = last_way.lookup(&owner);
    if (!last || !*last) /* no frame has passed yet */
        return 0;
    direction = *last - 1;
    u32 side = SIDE_INDEX(0, direction), *slot = pci_irq_slots.lookup(&side);
    if (slot && *slot)
        passed(*slot - 1, owner, 0, 0);
    return 0;
}
