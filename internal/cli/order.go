package cli

import (
	"path/filepath"

	"github.com/spf13/cobra"

	"aviso.example/wallet"
)

func (a *app) orderCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "order",
		Short: "Sign and verify Wallet orders",
		Long: `Sign and verify orders: the packages with which Wallet tracks what somebody
bought. They are made like passes, with other keys and an Order Type ID
certificate. aviso wallet check and aviso wallet open take orders too.`,
		Example: `  aviso order sign order --cert order.p12 --wwdr AppleWWDRCAG4.cer -o 4711.order
  aviso order verify 4711.order --root AppleIncRootCertificate.cer`,
		Args: unknownCommand,
		RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	cmd.AddCommand(a.orderSignCommand(), a.orderVerifyCommand())
	return cmd
}

func (a *app) orderSignCommand() *cobra.Command {
	f := &walletSignFlags{}
	cmd := &cobra.Command{
		Use:   "sign ORDER",
		Short: "Check and sign an order",
		Long: `Check an order and sign it. ORDER is a folder, or a zip of one, with order.json
and the images it names. What a device would refuse is not signed: all errors are
listed, and the exit code is 3. The certificate is as for aviso wallet sign.`,
		Example: `  aviso order sign order --cert order.p12 --password-file password.txt --wwdr AppleWWDRCAG4.cer -o 4711.order`,
		Args:    oneArgument("order"),
		RunE:    func(_ *cobra.Command, args []string) error { return a.orderSign(f, args[0]) },
	}
	f.register(cmd.Flags(), ".order")
	return cmd
}

func (a *app) orderSign(f *walletSignFlags, path string) error {
	signer, err := a.walletSigner(f, path)
	if err != nil {
		return err
	}
	s, err := a.readSource(path)
	if err != nil {
		return err
	}
	if _, ok := s.files["order.json"]; !ok {
		return usage("%s has no order.json; aviso wallet sign signs passes", path)
	}
	data, warnings, err := a.signSource(s, signer)
	if err != nil {
		return err
	}
	result := signed{
		Output: f.output, TypeIdentifier: signer.TypeIdentifier(), TeamIdentifier: signer.TeamIdentifier(), Warnings: append(wallet.Problems{}, warnings...),
	}
	if result.Output == "" {
		result.Output = defaultOutput(path, ".order")
	}
	if f.output == "" && result.Output == filepath.Clean(path) {
		return usage("%s is a package already: name the new one with --output", path)
	}
	return a.finishSigning(result, data)
}

func (a *app) orderVerifyCommand() *cobra.Command {
	f := &walletVerifyFlags{}
	cmd := &cobra.Command{
		Use:   "verify FILE",
		Short: "Verify a signed order that anybody made",
		Long: `Verify a signed order as aviso wallet verify does a pass: hashes, signature, and
the certificate against the order type. The exit code is 3 if something is wrong
with it, else 0.`,
		Example: `  aviso order verify 4711.order --root AppleIncRootCertificate.cer`,
		Args:    oneArgument("package"),
		RunE:    func(_ *cobra.Command, args []string) error { return a.walletVerify(f, args[0], true) },
	}
	f.register(cmd.Flags())
	return cmd
}
