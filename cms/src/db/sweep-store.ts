import type { Db } from './video-store.js'

const SWEEPS_AT_ONCE = 100

/** Asks for a sweep of a video at these origins; of two wishes for one origin the earlier counts. */
export async function askForSweeps(db: Db, videoId: string, origins: string[], dueAt: Date): Promise<void> {
  if (origins.length === 0) return
  await db
    .insertInto('sweeps')
    .values(origins.map((origin) => ({ video_id: videoId, origin_id: origin, due_at: dueAt, asked: 1 })))
    .onConflict((conflict) =>
      conflict.columns(['video_id', 'origin_id']).doUpdateSet((eb) => ({
        due_at: eb.fn<Date>('least', ['sweeps.due_at', 'excluded.due_at']),
        asked: eb('sweeps.asked', '+', 1),
      })),
    )
    .execute()
}

export interface Sweep {
  video_id: string
  origin_id: string
  due_at: Date
  asked: number
}

/** What is to be done at an origin, the longest due first. */
export async function dueSweeps(db: Db, origin: string, now: Date): Promise<Sweep[]> {
  return db
    .selectFrom('sweeps')
    .selectAll()
    .where('origin_id', '=', origin)
    .where('due_at', '<=', now)
    .orderBy('due_at')
    .limit(SWEEPS_AT_ONCE)
    .execute()
}

/** The sweep was done: it is gone, or due again. Unless somebody asked for it anew meanwhile. */
export async function finishSweep(db: Db, sweep: Sweep, again: Date | undefined): Promise<void> {
  if (again) {
    await db
      .updateTable('sweeps')
      .set({ due_at: again })
      .where('video_id', '=', sweep.video_id)
      .where('origin_id', '=', sweep.origin_id)
      .where('asked', '=', sweep.asked)
      .execute()
  } else {
    await db
      .deleteFrom('sweeps')
      .where('video_id', '=', sweep.video_id)
      .where('origin_id', '=', sweep.origin_id)
      .where('asked', '=', sweep.asked)
      .execute()
  }
}

export async function countSweeps(db: Db): Promise<number> {
  const row = await db
    .selectFrom('sweeps')
    .select((eb) => eb.fn.countAll<number>().as('sweeps'))
    .executeTakeFirstOrThrow()
  return Number(row.sweeps)
}
