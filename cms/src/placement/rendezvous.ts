import { createHash } from 'node:crypto'

/**
 * Weighted rendezvous hashing: each node scores −weight / ln(u), u in (0, 1) from a hash of key and node; highest first
 * (Schindelhauer and Schomaker, "Weighted Distributed Hash Tables"). Adding or removing a node moves only the keys that it wins or
 * held; a node's share of first places is its share of the weights.
 */
export function rank<N extends { id: string; weight: number }>(key: string, nodes: readonly N[]): N[] {
  return nodes
    .map((node) => ({ node, score: -node.weight / Math.log(unit(`${key}/${node.id}`)) }))
    .sort((a, b) => b.score - a.score || (a.node.id < b.node.id ? -1 : 1))
    .map(({ node }) => node)
}

/** 48 bits of SHA-256 as a number in (0, 1). */
function unit(text: string): number {
  return (createHash('sha256').update(text).digest().readUIntBE(0, 6) + 0.5) / 2 ** 48
}
