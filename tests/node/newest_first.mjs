// The order of a list without `orderBy`. A stream tells of changes in the order of their commits, which may differ.
export const newestFirst = (one, other) => {
  if (one.createdAt === other.createdAt) return 0;
  return one.createdAt > other.createdAt ? -1 : 1;
};
