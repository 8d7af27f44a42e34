export const metadata = { title: 'A Next.js site', icons: 'data:,' };

export default function Layout({ children }) {
  return (
    <html lang="en">
      <body style={{ font: '17px/1.5 system-ui, sans-serif', maxWidth: '32rem', margin: '4rem auto', padding: '0 1rem', textAlign: 'center' }}>
        <h1>A Next.js site</h1>
        {children}
      </body>
    </html>
  );
}
