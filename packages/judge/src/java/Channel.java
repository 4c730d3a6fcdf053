package flexjudge;

import java.io.BufferedInputStream;
import java.io.DataInputStream;
import java.io.FileDescriptor;
import java.io.FileInputStream;
import java.io.FileOutputStream;
import java.io.IOException;
import java.io.InputStream;
import java.io.OutputStream;
import java.nio.ByteBuffer;

/** Frames on standard input and output: four bytes of length, then a message. */
final class Channel {
  private final DataInputStream in =
      new DataInputStream(new BufferedInputStream(new FileInputStream(FileDescriptor.in)));
  private final OutputStream out = new FileOutputStream(FileDescriptor.out);

  /** From here on, what programs print goes to standard error, and they read nothing. */
  Channel() {
    System.setIn(InputStream.nullInputStream());
    System.setOut(System.err);
  }

  void send(Codec.Writer message) throws IOException {
    byte[] bytes = message.toBytes();
    out.write(ByteBuffer.allocate(4 + bytes.length).putInt(bytes.length).put(bytes).array());
  }

  /** Waits for the next message; throws EOFException after the last. */
  Codec.Reader receive() throws IOException {
    return new Codec.Reader(in.readNBytes(in.readInt()));
  }
}
