/** Where a file goes, piece by piece. */
export interface FileSink {
  write (chunk: Uint8Array<ArrayBuffer>): Promise<void>
  /** The file is whole. */
  finish (): Promise<void>
  /** It will never be. */
  abandon (): Promise<void>
}

interface Picker { showSaveFilePicker?: (options: { suggestedName: string }) => Promise<FileSystemFileHandle> }

/**
 * A file that whoever sits there chooses, written while it comes; where the browser has no such thing, a download once all is here.
 * @returns undefined when they would rather not
 */
export async function openSink (name: string, type: string): Promise<FileSink | undefined> {
  const { showSaveFilePicker } = window as Picker
  if (showSaveFilePicker === undefined) return gathered(name, type)
  try {
    const writable = await (await showSaveFilePicker({ suggestedName: name })).createWritable()
    return {
      write: async (chunk) => { await writable.write(chunk) },
      finish: async () => { await writable.close() },
      abandon: async () => { await writable.abort() }
    }
  } catch (error) {
    if ((error as Error).name === 'AbortError') return undefined
    throw error
  }
}

function gathered (name: string, type: string): FileSink {
  let chunks: Uint8Array<ArrayBuffer>[] = []
  return {
    write: async (chunk) => { chunks.push(chunk) },
    finish: async () => { download(new Blob(chunks, { type }), name) },
    abandon: async () => { chunks = [] }
  }
}

/** How long a browser may take to begin with a download, in milliseconds. */
const SOON = 60_000

export function download (blob: Blob, name: string): void {
  const link = document.createElement('a')
  link.href = URL.createObjectURL(blob)
  link.download = name
  link.click()
  setTimeout(() => { URL.revokeObjectURL(link.href) }, SOON)
}
